"""A run's report is found, checked against the schema, and marked when training examples are erased."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.web.conftest import sample_report

from deputize.cli.main import run
from deputize.cli.report import mark_erased, read_report
from deputize.core.errors import BadInput
from deputize.maintenance.lineage import TrainedOnErased
from deputize.web.page import write_report


@pytest.fixture
def report() -> dict[str, Any]:
    return sample_report()


def test_the_newest_run_with_a_report_is_read(report: dict[str, Any], tmp_path: Path) -> None:
    for run_id in ("0001-a", "0002-b"):
        write_report(tmp_path / "runs" / run_id, {**report, "run_id": run_id})
    (tmp_path / "runs" / "0003-unfinished").mkdir()
    document, folder = read_report(tmp_path)
    assert document["run_id"] == folder.name == "0002-b"
    assert read_report(tmp_path, "0001-a")[0]["run_id"] == "0001-a"
    with pytest.raises(BadInput, match="no run '0009'"):
        read_report(tmp_path, "0009")


def test_without_a_report_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no finished run .* `deputize convert`"):
        read_report(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1, "run_id": "r"}'])
def test_a_document_outside_the_schema_is_no_report(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(text)
    with pytest.raises(BadInput, match="is not a report of this version"):
        read_report(tmp_path)


def test_erased_examples_are_counted_at_their_specialist_alone(
    report: dict[str, Any], tmp_path: Path
) -> None:
    write_report(tmp_path / "runs" / "r", {**report, "run_id": "r"})
    erased = TrainedOnErased(
        run_id="r", specialist="t1-lora", task_id="t1", path="", n_trained_on=812, erased=["c1", "c2"]
    )
    mark_erased(tmp_path, [erased])
    document = json.loads((tmp_path / "runs" / "r" / "report.json").read_text("utf-8"))
    counts = {
        t["specialist"]["id"]: t["specialist"]["n_erased"] for t in document["tasks"] if t["specialist"]
    }
    assert counts == {"t1-lora": 2, "t2-linear": 0, "t3-lora": 0}
    assert "2 of its 812 examples were erased" in (tmp_path / "runs" / "r" / "report.html").read_text("utf-8")


def test_the_command_prints_the_document(
    report: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(tmp_path / "runs" / "0001-a", {**report, "run_id": "0001-a"})
    (tmp_path / "runs" / "0001-a" / "report.html").unlink()
    assert run(["--home", str(tmp_path), "--json", "report"]) == 0
    assert json.loads(capsys.readouterr().out) == {**report, "run_id": "0001-a"}
    assert run(["--home", str(tmp_path), "--json", "report", "--open"]) == 3
    assert "deputize evaluate" in capsys.readouterr().err
