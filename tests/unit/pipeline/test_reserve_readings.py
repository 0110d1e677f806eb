"""That a reserve is about to be read stands in the home's ledger, and a run that goes on knows it again."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests import tiny_tasks

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.home import Home
from deputize.pipeline.ledger_file import LedgerFile
from deputize.pipeline.reserve_readings import ReserveReadings
from deputize.pipeline.run import Run, RunState
from deputize.scoring.ledger import digests


def small_log() -> tuple[Curated, Discovered]:
    curated, discovered = tiny_tasks.make(("label", "action"), 60)
    kept = [
        msgspec.structs.replace(e, split="reserve" if e.split == "validation" else e.split)
        for e in curated.examples
    ]
    return msgspec.structs.replace(curated, examples=kept), discovered


def run_of(home: Home, run_id: str) -> Run:
    state = RunState(run_id=run_id, settings=Convert().model_dump(mode="json"), n_calls=0, calls_digest="")
    return Run(home, state)


def test_a_reading_is_written_once_and_is_the_runs_own(tmp_path: Path) -> None:
    curated, discovered = small_log()
    label, _ = discovered.tasks
    with Home(tmp_path) as home:
        readings = ReserveReadings(run_of(home, "0001-a"), curated, discovered)
        assert readings.before() == []
        readings.note(label)
        readings.note(label)
        (kept,) = LedgerFile(home).read().tests
        read = [
            e
            for e in curated.examples
            if e.split == "reserve" and discovered.assignment[e.call_id] == label.id
        ]
        assert kept.only_read and kept.test_level == 0 and kept.at_s > 0
        assert kept.calls == digests(e.call_id for e in read) and kept.groups == digests(
            e.group for e in read
        )
        assert ReserveReadings(run_of(home, "0001-a"), curated, discovered).before() == [label.id]
        assert ReserveReadings(run_of(home, "0002-b"), curated, discovered).before() == []


def test_a_log_with_validation_has_nothing_to_write_down(tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 60)
    with Home(tmp_path) as home:
        readings = ReserveReadings(run_of(home, "0001-a"), curated, discovered)
        readings.note(discovered.tasks[0])
        assert readings.before() == [] and not home.ledger_path.exists()
