"""Order and resuming of a run, with the stages that need no model; the rest: integration/pipeline and acceptance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.progress import silent
from deputize.home import Home
from deputize.pipeline.conversion import (
    convert,
    convert_all,
    do,
    open_run,
    run_stage,
    tenants_to_convert,
)
from deputize.pipeline.run import Run, latest_run
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


def test_each_tenant_has_a_run_of_its_own_calls(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        assert tenants_to_convert(home, Convert()) == ["default"], "an empty home"
        home.store.append([call("a", tenant="alpha"), call("b", tenant="beta"), call("c", tenant="beta")])
        assert tenants_to_convert(home, Convert()) == ["alpha", "beta"]
        with pytest.raises(UsageError, match="several tenants"):
            convert(home, Convert())
        runs = [open_run(home, Convert(), silent, tenant=name) for name in ("alpha", "beta")]
        assert [[c.id for c in run.calls()] for run in runs] == [["a"], ["b", "c"]]
        assert [latest_run(home, name) for name in ("alpha", "beta", "gamma", None)] == [
            *(run.state.run_id for run in runs),
            None,
            runs[1].state.run_id,
        ]
        assert open_run(home, Convert(), silent, tenant="alpha").state == runs[0].state, "it goes on"


def test_tenants_that_share_have_one_run(tmp_path: Path) -> None:
    shared = Convert(share_across_tenants=True)
    with Home(tmp_path) as home:
        home.store.append([call("a", tenant="alpha"), call("b", tenant="beta")])
        (tenant,) = tenants_to_convert(home, shared)
        run = open_run(home, shared, silent, tenant=tenant)
        assert (run.state.tenant, [c.id for c in run.calls()]) == ("*", ["a", "b"])


def test_a_tenant_whose_calls_teach_nothing_does_not_keep_the_others(tmp_path: Path) -> None:
    said: list[str] = []
    with Home(tmp_path) as home:
        home.store.append([call("a", tenant="alpha", status=500), call("b", tenant="beta", status=500)])
        with pytest.raises(BadInput, match="nothing to learn from"):
            convert_all(home, Convert(), progress=lambda what, *_: said.append(what))
    assert [line for line in said if line.startswith("tenant beta")], "beta was tried after alpha had failed"


def test_nothing_to_learn_from_and_wrong_stages_are_said(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        with pytest.raises(BadInput, match="nothing to learn from"):
            convert(home, Convert())
        with pytest.raises(UsageError, match="not a stage"):
            run_stage(home, "refine", Convert())
        with home.exclusive("run"), pytest.raises(UsageError, match="Another run is at work"):
            run_stage(home, STAGES[0].step, Convert())


def test_settings_of_a_later_stage_are_looked_at_first(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append([call("a")])
        home.config_path.write_text('[engine]\nname = "vllm"\n')
        with pytest.raises(BadInput, match=r"\[engine\].*name"):
            convert(home, Convert())
        assert latest_run(home) is None


def test_an_empty_home_is_refused_before_there_is_a_run(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        for attempt in (lambda: convert(home, Convert()), lambda: run_stage(home, "curate", Convert())):
            with pytest.raises(BadInput, match="no calls are in"):
                attempt()
        assert latest_run(home) is None
        home.store.append([])
        with pytest.raises(BadInput, match="deputize import LOG"):
            convert(home, Convert())
        assert latest_run(home) is None
