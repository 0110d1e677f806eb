"""Lines read by other processes: the same findings, whatever becomes of them."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import psutil
import pytest

from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.worker_pool import WorkerPool
from deputize.privacy.standard_detectors import DetectorSet, standard_detectors

pytest.importorskip("loky")
pytest.importorskip("presidio_analyzer")

BATCH = 64


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


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def findings(scanner: LineIndex) -> dict[int, Any]:
    return {n: (list(scanner.findings(n)), list(scanner.second_findings(n))) for n in range(scanner.n_lines)}


def scanned(standard: DetectorSet, crew: WorkerPool | None) -> dict[int, Any]:
    scanner = LineIndex(standard.reader(), crew=crew, batch=BATCH, crew_after=BATCH)
    for line in lines():
        scanner.add(line)
    scanner.scan()
    return findings(scanner)


def test_another_process_finds_the_same(standard: DetectorSet) -> None:
    alone = scanned(standard, None)
    assert sum(bool(first) for first, _ in alone.values()) > 200
    with WorkerPool(standard.recipe, n=1) as crew:
        assert scanned(standard, crew) == alone


def test_a_process_that_is_killed_is_done_without(
    standard: DetectorSet, caplog: pytest.LogCaptureFixture
) -> None:
    before, others = children(), set[int]()
    with WorkerPool(standard.recipe, n=1) as crew:
        scanner = LineIndex(standard.reader(), crew=crew, batch=BATCH, crew_after=0)
        for line in lines():
            scanner.add(line)
            for pid in children() - before - others:
                os.kill(pid, signal.SIGKILL)
                others.add(pid)
        scanner.scan()
    assert others
    assert findings(scanner) == scanned(standard, None)
    assert "has ended" in caplog.text


def test_no_more_is_given_than_can_be_read_soon(standard: DetectorSet) -> None:
    with WorkerPool(standard.recipe, n=1) as crew:
        given = [crew.give(["call 212-555-0101"], [True]) for _ in range(4)]
        assert [future is not None for future in given] == [True, True, False, False]
        assert all(future.result().first[0][0].type == "PHONE_NUMBER" for future in given if future)


def test_on_one_core_there_are_no_others(standard: DetectorSet) -> None:
    with WorkerPool(standard.recipe, n=0) as crew:
        assert crew.give(["x"], [True]) is None
