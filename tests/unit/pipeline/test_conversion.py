"""Order and resuming of a run, with the stages that need no model; the rest: integration/pipeline and acceptance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.progress import silent
from deputize.home import Home
from deputize.pipeline.conversion import convert, do, open_run, run_stage
from deputize.pipeline.run import Run
from deputize.pipeline.stage_table import STAGES, stage_of
from deputize.testing import call


def test_the_same_settings_over_the_same_calls_go_on_with_the_same_run(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append([call("a", timestamp=1.0)])
        run = open_run(home, Convert(), silent)
        assert open_run(home, Convert(), silent).state == run.state
        other = [
            open_run(home, Convert(), silent, fresh=True),
            open_run(home, Convert(epsilon=0.1), silent),
            open_run(home, Convert(epsilon=0.1), silent, agents=["b"]),
        ]
        home.store.append([call("b", timestamp=2.0)])
        other.append(open_run(home, Convert(epsilon=0.1), silent))
        ids = [r.state.run_id for r in (run, *other)]
        assert [i.split("-")[0] for i in ids] == ["0001", "0002", "0003", "0004", "0005"]


def test_a_stage_that_is_done_is_not_done_again_and_its_time_is_kept(tmp_path: Path) -> None:
    n_done = 0

    def count(run: Run, out: object) -> None:
        nonlocal n_done
        n_done += 1
        raise KeyError

    with Home(tmp_path) as home:
        run = open_run(home, Convert(), silent)
        stage = stage_of("cluster")
        counted = replace(stage, run=count)
        with pytest.raises(KeyError):
            do(run, counted)
        assert n_done == 1 and "cluster" in run.state.timings_s, "the time of a stage that failed counts"
        (run.folder / "cluster.sealed").write_bytes(b"done")
        do(run, counted)
        assert n_done == 1


def test_nothing_to_learn_from_and_wrong_stages_are_said(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        with pytest.raises(BadInput, match="nothing to learn from"):
            convert(home, Convert())
        with pytest.raises(UsageError, match="not a stage"):
            run_stage(home, "refine", Convert())
        with home.exclusive("run"), pytest.raises(UsageError, match="Another run is at work"):
            run_stage(home, STAGES[0].step, Convert())
