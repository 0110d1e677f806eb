"""Calls that are gone from the store leave every artifact of every run, and the run gets a fresh key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Curated, Discovered, Withheld
from deputize.core.config import Convert
from deputize.core.errors import UsageError
from deputize.core.records import Example, Request
from deputize.core.task_results import Evaluated
from deputize.home import Home
from deputize.pipeline.run import Run, RunState
from deputize.pipeline.run_erasure import forget_in_runs
from deputize.testing import call


def curated(n: int) -> Curated:
    examples = [
        Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": f"text {i}"}]),
            response={"role": "assistant", "content": "yes"},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"e{i}",
            origin="",
            split="train",
        )
        for i in range(n)
    ]
    return Curated(examples=examples, sites=[], n_calls=n, n_episodes=n, n_code_calls=n)


def a_run(home: Home, run_id: str = "0001-abc", **fields: Any) -> Run:
    state = RunState(
        run_id=run_id, settings=Convert().model_dump(mode="json"), n_calls=2, calls_digest="", **fields
    )
    run = Run(home, state)
    run.save()
    return run


def test_the_gone_leave_every_artifact(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append([call(f"c{i}", origin="o_ann" if i < 2 else "o_bob") for i in range(5)])
        run = a_run(home)
        run.artifact("curate", Curated).write(curated(5))
        run.artifact("cluster", Discovered).write(
            Discovered(tasks=[], keyspaces=[], assignment={f"c{i}": "t" for i in range(5)})
        )
        run.artifact("evaluate", Evaluated).write(Evaluated(results=[]))
        assert forget_in_runs(home) == {}
        before = {p.name: p.read_bytes() for p in run.folder.iterdir() if p.name != "run.json"}
        home.store.erase("o_ann")
        with home.exclusive("run"), pytest.raises(UsageError, match="Another run is at work"):
            forget_in_runs(home)
        assert forget_in_runs(home) == {"0001-abc": 2}
        assert [e.call_id for e in run.load_curated().examples] == ["c2", "c3", "c4"]
        assert run.load("cluster", Discovered).assignment.keys() == {"c2", "c3", "c4"}
        assert all((run.folder / name).read_bytes() != data for name, data in before.items()), (
            "a fresh key for all"
        )
        assert forget_in_runs(home) == {}


def test_calls_that_curation_withheld_leave_it_too(tmp_path: Path) -> None:
    """There is no example of them, and ids from a log may hold a name."""
    with Home(tmp_path) as home:
        home.store.append(
            [call("c0", origin="o_bob")]
            + [call(id, origin=origin) for id, origin in (("mia-torres-1", "o_mia"), ("w2", "o_bob"))]
        )
        run = a_run(home)
        withheld = [Withheld(call_id=id, reason="quarantined") for id in ("mia-torres-1", "w2")]
        run.artifact("curate", Curated).write(msgspec.structs.replace(curated(1), withheld=withheld))
        home.store.erase("o_mia")
        assert forget_in_runs(home) == {"0001-abc": 1}
        left = run.load_curated()
        assert [w.call_id for w in left.withheld] == ["w2"]
        assert [e.call_id for e in left.examples] == ["c0"] and forget_in_runs(home) == {}
