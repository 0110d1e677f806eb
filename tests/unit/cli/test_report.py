"""Which report is shown, and marks of specialists whose training data was erased."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.cli.report import read_report
from deputize.core.errors import BadInput


def written(home: Path, run_id: str, text: str) -> None:
    (home / "runs" / run_id).mkdir(parents=True)
    (home / "runs" / run_id / "report.json").write_text(text)


def test_the_newest_run_with_a_report_unless_one_is_named(tmp_path: Path) -> None:
    written(tmp_path, "0001-a", '{"run_id": "0001-a"}')
    written(tmp_path, "0002-b", '{"run_id": "0002-b"}')
    (tmp_path / "runs" / "0003-c").mkdir()
    assert read_report(tmp_path) == ({"run_id": "0002-b"}, tmp_path / "runs" / "0002-b")
    assert read_report(tmp_path, "0001-a")[0] == {"run_id": "0001-a"}


def test_what_is_not_there_and_what_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no finished run"):
        read_report(tmp_path)
    with pytest.raises(BadInput, match="no run '0009'"):
        read_report(tmp_path, "0009")
    written(tmp_path, "0001-a", "{")
    with pytest.raises(BadInput, match="is not a report"):
        read_report(tmp_path)


def test_the_command_prints_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "0001-a", '{"run_id": "0001-a"}')
    assert run(["--home", str(tmp_path), "--json", "report"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run_id": "0001-a"}
    assert run(["--home", str(tmp_path), "--json", "report", "--open"]) == 3
    assert "deputize evaluate" in capsys.readouterr().err
