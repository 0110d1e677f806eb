"""A run: its state, its artifacts, the time it has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.home import Home
from deputize.pipeline.run import IMPORT, Run, RunState, artifact_of, latest_run, newest_state, read_state
from deputize.testing import call

FOUND = Discovered(tasks=[], keyspaces=[], assignment={})


def a_run(home: Home, run_id: str = "0001-abc", **fields: Any) -> Run:
    state = RunState(
        run_id=run_id, settings=Convert().model_dump(mode="json"), n_calls=2, calls_digest="", **fields
    )
    run = Run(home, state)
    run.save()
    return run


def test_the_newest_run_is_found_and_its_state_read(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert latest_run(home) is None and newest_state(home) is None
    a_run(home)
    run = a_run(home, "0002-def", agents=["desk"])
    assert latest_run(home) == "0002-def" and newest_state(home) == run.state
    assert run.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(BadInput, match="There is no run 'x'"):
        read_state(home, "x")
    (run.folder / "run.json").write_text("{")
    with pytest.raises(BadInput, match="delete"):
        newest_state(home)


def test_results_are_loaded_and_forgotten_by_step(tmp_path: Path) -> None:
    run = a_run(Home(tmp_path), finished=True, timings_s={"curate": 5.0, "cluster": 7.0})
    with pytest.raises(UsageError, match="run `deputize cluster` first"):
        run.load("cluster", Discovered)
    run.artifact("cluster", Discovered).write(FOUND)
    assert run.has("cluster") and run.load("cluster", Discovered) == FOUND
    assert artifact_of(run.home, run.state.run_id, "cluster", Discovered).read() == FOUND
    run.forget(["cluster", "select"])
    assert not run.has("cluster") and not run.state.finished and run.state.timings_s == {"curate": 5.0}
    assert newest_state(run.home) == run.state


def test_reading_curated_text_is_noted_first_and_nothing_else_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    run = a_run(home)
    run.artifact("curate", Curated).write(
        Curated(examples=[], sites=[], n_calls=0, n_episodes=0, n_code_calls=0)
    )
    run.artifact("cluster", Discovered).write(FOUND)
    run.load("cluster", Discovered)
    assert list(home.audit.entries()) == []
    run.load_curated()
    assert [(e.action, e.subject) for e in home.audit.entries()] == [("read.curated", "0001-abc")]


def test_time_spent_before_a_stop_counts_but_not_that_of_the_import(tmp_path: Path) -> None:
    run = a_run(Home(tmp_path), timings_s={IMPORT: 1e6, "curate": 60.0})
    left = run.remaining_s()
    assert 0.97 * 1800 - 61 < left <= 0.97 * 1800 - 60
    run.begin_step()
    run.end_step("curate")
    assert run.state.timings_s["curate"] >= 60.0


def test_evaluation_has_its_part_when_training_took_all_the_time(tmp_path: Path) -> None:
    late = a_run(Home(tmp_path / "late"), timings_s={"finetune": 1e6})
    assert late.remaining_s() == 0.0 and late.evaluation_s() == pytest.approx(0.15 * 1800)
    early = a_run(Home(tmp_path / "early"), timings_s={"finetune": 60.0})
    assert early.evaluation_s() == pytest.approx(early.remaining_s(), abs=1.0)
    assert early.evaluation_s() > 0.9 * 1700


def test_a_run_reads_the_calls_of_its_agents_up_to_its_number(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append([call(f"c{i}", agent="ab"[i % 2], timestamp=float(i)) for i in range(8)])
        assert [c.id for c in a_run(home, agents=["b"]).calls()] == ["c1", "c3"]
        assert [c.id for c in a_run(home).calls()] == ["c0", "c1"]
