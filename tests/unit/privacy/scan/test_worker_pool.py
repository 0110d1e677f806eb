"""Lines scanned by other processes: the same findings, whatever becomes of them."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import psutil
import pytest

from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.worker_pool import WorkerPool
from deputize.privacy.standard_detectors import DetectorSet, standard_detectors
from deputize.runner.local import LocalRunner

pytest.importorskip("loky")
pytest.importorskip("presidio_analyzer")

BATCH = 64
POLICY = policy_of("standard")


@pytest.fixture(scope="module")
def standard() -> DetectorSet:
    return standard_detectors()


def lines(n: int = 640) -> list[str]:
    rng = random.Random(0)
    said = (
        "Mia Torres asked again",
        "call 212-555-%04d",
        "card 4111 1111 1111 1111",
        "half \ud83d a pair",
        "no news",
    )
    return [f"{i}: {rng.choice(said)}".replace("%04d", f"{i:04d}") for i in range(n)]


def pool_of(standard: DetectorSet, n_processes: int) -> WorkerPool:
    pool = standard.worker_pool(POLICY, LocalRunner(n_processes))
    assert pool is not None
    return pool


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def findings(line_index: LineIndex) -> dict[int, Any]:
    return {
        n: (list(line_index.findings(n)), list(line_index.verification_findings(n)))
        for n in range(line_index.n_lines)
    }


def scanned(standard: DetectorSet, pool: WorkerPool | None) -> dict[int, Any]:
    line_index = LineIndex(standard.ensemble(POLICY), pool=pool, batch_lines=BATCH, pool_after=BATCH)
    for line in lines():
        line_index.add(line)
    line_index.scan()
    return findings(line_index)


def test_another_process_finds_the_same(standard: DetectorSet) -> None:
    alone = scanned(standard, None)
    assert sum(bool(first) for first, _ in alone.values()) > 200
    with pool_of(standard, 1) as pool:
        assert scanned(standard, pool) == alone


def test_a_process_that_is_killed_is_done_without(
    standard: DetectorSet, caplog: pytest.LogCaptureFixture
) -> None:
    before, others = children(), set[int]()
    with pool_of(standard, 1) as pool:
        line_index = LineIndex(standard.ensemble(POLICY), pool=pool, batch_lines=BATCH, pool_after=0)
        for line in lines():
            line_index.add(line)
            for pid in children() - before - others:
                os.kill(pid, signal.SIGKILL)
                others.add(pid)
        line_index.scan()
    assert others
    assert findings(line_index) == scanned(standard, None)
    assert "has died" in caplog.text


def test_no_more_is_given_than_can_be_read_soon(standard: DetectorSet) -> None:
    with pool_of(standard, 1) as pool:
        submitted = [pool.submit(["call 212-555-0101"], [True]) for _ in range(4)]
        assert [future is not None for future in submitted] == [True, True, False, False]
        assert all(future.result().found[0][0].type == "PHONE_NUMBER" for future in submitted if future)


def test_on_one_core_there_are_no_others(standard: DetectorSet) -> None:
    with pool_of(standard, 0) as pool:
        assert pool.submit(["x"], [True]) is None
