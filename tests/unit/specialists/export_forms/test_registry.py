"""Forms that make no sense for a specialist are refused with a sentence that names those that do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec import structs
from tests import tiny_specialist

from deputize.core.errors import UsageError
from deputize.specialists.export_forms.registry import export_form


@pytest.mark.parametrize(
    ("kind", "asked", "able"),
    [
        ("decoder", "onnx", "peft, merged, gguf."),
        ("head", "gguf", "peft, merged, onnx."),
        ("linear", "peft", "onnx, npz."),
    ],
)
def test_a_refusal_names_the_forms_that_there_are(
    tiny: tuple[Path, str], tmp_path: Path, kind: str, asked: str, able: str
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", kind)
    with pytest.raises(UsageError, match=f"cannot be exported as {asked}: it .*{able}$"):
        export_form(asked, stored)
    with pytest.raises(UsageError, match="Known: peft"):
        export_form("tar", stored)
    assert export_form(able.split(",")[0], stored).name == able.split(",")[0]


@pytest.mark.parametrize("kind", ["listed", "listed_writer"])
def test_what_reads_the_list_of_each_request_has_no_form(
    tiny: tuple[Path, str], tmp_path: Path, kind: str
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    stored = dataclasses.replace(stored, card=structs.replace(stored.card, kind=kind))
    for form in ("peft", "merged", "gguf", "npz"):
        with pytest.raises(
            UsageError, match=r"it reads the tools that each request lists.* The gateway serves it\.$"
        ):
            export_form(form, stored)
