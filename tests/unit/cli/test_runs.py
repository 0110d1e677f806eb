"""runs list and diff."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.web.conftest import sample_report

from deputize.cli.main import run
from deputize.operations.run_rows import compared_tasks
from deputize.pipeline.run import RunState
from deputize.web.page import write_report


def with_run(home: Path, run_id: str, report: dict[str, Any] | None, **settings: Any) -> None:
    folder = home / "runs" / run_id
    folder.mkdir(parents=True)
    state = RunState(
        run_id=run_id,
        settings=settings,
        n_calls=1560,
        calls_digest="",
        timings_s={"curate": 60.0},
        finished=report is not None,
    )
    (folder / "run.json").write_bytes(msgspec.json.encode(state))
    if report is not None:
        write_report(folder, {**report, "run_id": run_id})


def test_runs_are_listed_newest_first_with_what_came_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = sample_report()
    with_run(tmp_path, "0001-a", report, epsilon=0.05)
    with_run(tmp_path, "0002-b", None, epsilon=0.1)
    (tmp_path / "runs" / "0002-b" / "curate.sealed").touch()
    assert run(["--home", str(tmp_path), "--json", "runs", "list"]) == 0
    newest, first = json.loads(capsys.readouterr().out)
    assert (newest["run_id"], newest["last_stage"], newest["n_tasks"]) == ("0002-b", "curate", None)
    assert first["n_certified"] == sum(t["certificate"] is not None for t in report["tasks"]) > 0
    assert first["finished"] and first["seconds"] == 60.0
    assert run(["--home", str(tmp_path), "runs", "list"]) == 0
    assert "up to curate" in capsys.readouterr().out


def test_no_runs_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "runs", "list"]) == 0
    assert "deputize convert" in capsys.readouterr().out


def test_a_difference_names_settings_and_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sample_report()
    after = copy.deepcopy(before)
    certified = next(t for t in after["tasks"] if t["certificate"])
    certified["held_out"]["share_served"] = 0.5
    with_run(tmp_path, "0001-a", before, epsilon=0.05, seed=0)
    with_run(tmp_path, "0002-b", after, epsilon=0.1, seed=0)
    assert run(["--home", str(tmp_path), "--json", "runs", "diff", "0001", "0002"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"] == {"epsilon": [0.05, 0.1]}
    row = next(t for t in told["tasks"] if t["id"] == certified["id"])
    assert row["share_served"][1] == 0.5 != row["share_served"][0]
    assert run(["--home", str(tmp_path), "runs", "diff", "0001", "0002"]) == 0
    assert "epsilon: 0.05 -> 0.1" in capsys.readouterr().out


def test_a_task_of_one_run_alone_has_no_figures_on_the_other_side() -> None:
    report = sample_report()
    rows = compared_tasks({"tasks": []}, report)
    assert all(row["in"] == [False, True] and row["method"][0] is None for row in rows)
    refused = next(t["id"] for t in report["tasks"] if not t["certificate"])
    assert next(row for row in rows if row["id"] == refused)["method"][1] == "refused"
