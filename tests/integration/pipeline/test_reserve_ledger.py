"""A run that is killed once it has read a small log's reserve has left that in the ledger, so that no number of ended
runs is free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import tiny_model
from tests.integration.pipeline.letters import letters

from deputize.home import Home
from deputize.pipeline.ledger_file import LedgerFile
from deputize.pipeline.run import newest_state
from deputize.scoring.ledger import digests

A_METHOD = """
import os, signal
from tests.a_users_method import MajorityMethod

class Killed(MajorityMethod):
    name, cost = "killed", 50

    def train(self, job, context, budget_s):
        with open(os.environ["SEEN"], "w") as out:
            out.write(" ".join(x.call_id for x in job.examples.validation))
        os.kill(os.getpid(), signal.SIGKILL)

METHOD = Killed()
"""
"""A method that reads the reserve, writes down which calls it saw, and ends the process with kill -9."""


def environ(tmp_path: Path) -> dict[str, str]:
    site = tmp_path / "site"
    folder = site / "a_users_package-1.0.dist-info"
    folder.mkdir(parents=True)
    (site / "killed_method.py").write_text(A_METHOD)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: a-users-package\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[deputize.methods]\nkilled = killed_method:METHOD\n")
    tiny_model.installed(tmp_path / "models", tmp_path)
    paths = [str(site), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "SEEN": str(tmp_path / "seen"),
        "DEPUTIZE_MODELS": str(tmp_path / "models"),
    }


def deputize(home: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deputize.cli.main", "--home", str(home), "--json", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=800, check=False)


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_after_it_read_the_reserve_is_in_the_ledger(tmp_path: Path) -> None:
    env, home_path = environ(tmp_path), tmp_path / "home"
    calls = [
        msgspec.structs.replace(call, timestamp=1.7e9 + i) for i, call in enumerate(letters("email", 200))
    ]
    with Home(home_path) as home:
        home.store.append(calls)
    options = ["--model", tiny_model.NAME, "--epsilon", "0.1", "--method", "linear"]
    killed = deputize(home_path, env, "convert", *options, "--method", "killed", "--explore")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    seen = (tmp_path / "seen").read_text().split()
    with Home(home_path) as home:
        (reading,) = LedgerFile(home).read().tests
        state = newest_state(home)
        assert state is not None and not state.finished
        assert reading.only_read and reading.run_id == state.run_id
        assert len(seen) > 10 and {*digests(seen)} <= {*reading.calls}

    # the next run does not count on them: it tests the others alone, at the level of a first test
    report = report_of(deputize(home_path, env, "convert", *options))
    (task,) = report["tasks"]
    spending, evaluation = task["delta_spending"], task["evaluation"]
    assert spending is not None, task["refusal_reason"]
    assert spending["new_groups_only"] and spending["test_level"] == pytest.approx(0.04)
    assert (
        evaluation["is_cross_fitted"]
        and len(reading.groups) == report["curate"]["splits"]["reserve"]["n_groups"]
    )
    assert spending["n_groups"] == report["curate"]["splits"]["calibration"]["n_groups"]
    assert f"give about {spending['n_groups']} calibration units" in task["feasibility"]["sentence"]
