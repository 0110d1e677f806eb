"""Rows of runs, for one tenant or all; the commands over them are in tests of `runs`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.test_runs import with_run
from tests.unit.web.conftest import sample_report

from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.operations.run_rows import difference, report_document, run_rows


def test_runs_of_a_tenant_and_their_difference(tmp_path: Path) -> None:
    report = sample_report()
    with_run(tmp_path, "0001-a", report, epsilon=0.05)
    with_run(tmp_path, "0002-b", report, epsilon=0.1)
    home = Home(tmp_path)
    assert [row["run_id"] for row in run_rows(home)] == ["0002-b", "0001-a"]
    assert not run_rows(home, "acme")
    reports = [report_document(home, run) for run in ("0001-a", "0002-b")]
    found = difference(home, (reports[0], reports[1]))
    assert found["settings"] == {"epsilon": (0.05, 0.1)} and found["runs"] == ["0001-a", "0002-b"]
    assert len(found["tasks"]) == len(report["tasks"])


def test_no_report_of_the_tenant(tmp_path: Path) -> None:
    with_run(tmp_path, "0001-a", sample_report())
    with pytest.raises(BadInput, match="tenant acme"):
        report_document(Home(tmp_path), tenant="acme")


def test_a_damaged_run_hides_no_run_of_a_tenant(tmp_path: Path) -> None:
    """Nobody can say whose it is: no tenant is shown it, and none is kept from its own. Who sees all runs is told."""
    with_run(tmp_path, "0001-a", sample_report())
    with_run(tmp_path, "0002-b", sample_report())
    home = Home(tmp_path)
    for damage in (b"{", b"", b'{"tenant": "default"}'):
        (home.runs_path / "0002-b" / "run.json").write_bytes(damage)
        assert [row["run_id"] for row in run_rows(home, "default")] == ["0001-a"]
        with pytest.raises(BadInput, match="0002-b"):
            run_rows(home)
