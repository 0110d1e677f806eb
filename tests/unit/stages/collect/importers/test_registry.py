"""Importers by name: ours, entry points, module:attribute; failures of somebody else's are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.a_users_importer import QuestionImporter

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.registry import BUILT_IN, format_names, format_rows, importers_for


def test_the_list_names_every_format() -> None:
    assert all(
        (importer.name, importer.description) in format_rows() and importer.name in format_names()
        for importer in BUILT_IN
    )


def test_an_entry_point_is_an_importer_by_name_and_in_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "questions-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: questions\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[deputize.importers]\nquestions = tests.a_users_importer:QuestionImporter\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text('{"question": "why?", "answer": "because"}\n{"messages": [], "response": "x"}\n')
    for name, kinds in (("questions", [Call, Skip]), ("auto", [Call, Skip]), ("calls", [Skip, Skip])):
        assert [type(item) for item in read_calls(log, name)] == kinds
    assert [importer.name for importer in importers_for("auto")] == [
        "questions",
        *(importer.name for importer in BUILT_IN),
    ]
    with pytest.raises(UsageError, match=r"formats are auto, .*calls, .*openai, .*questions"):
        importers_for("xml")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tests.nowhere:X", "cannot be imported"),
        ("tests.a_users_importer:Nothing", "cannot be imported"),
        ("tests.a_users_importer:Call", "cannot be made"),
        ("json:dumps", "lacks a name"),
    ],
)
def test_what_is_no_importer_is_a_sentence(spec: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        importers_for(spec)


class Failing(QuestionImporter):
    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        raise KeyError(row["question"])


class Answering(QuestionImporter):
    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "message"),
    [("Failing", "failed with KeyError at log.jsonl, line 1"), ("Answering", "returned a NoneType")],
)
def test_a_failing_importer_is_named_and_the_log_is_not_quoted(
    name: str, message: str, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"question": "my-secret", "answer": "because"}\n')
    with pytest.raises(BadInput, match=message) as caught:
        list(read_calls(log, f"{__name__}:{name}"))
    assert "my-secret" not in str(caught.value)


def test_the_page_lists_every_format_as_it_is() -> None:
    page = (Path(__file__).parents[5] / "docs/guides/extend/importers.md").read_text("utf-8")
    listed = page.split("<!-- formats -->")[1].split("<!-- end of formats -->")[0].strip().splitlines()[2:]
    ours = {importer.name for importer in BUILT_IN}
    assert listed == [f"| `{name}` | {text} |" for name, text in format_rows() if name in ours]
