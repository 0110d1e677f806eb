"""Counters of several workers, and of those that ended."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from deputize.gateway.metrics import Metrics
from deputize.gateway.metrics_files import MetricsFiles, begin_folder

NOBODY = 999_999_999
"""A process id that no process has."""


def of_another(folder: Path, pid: int, token: str, n_calls: float) -> Path:
    """The file that another worker has written."""
    metrics = Metrics()
    metrics.add("deputize_calls_total", amount=n_calls)
    metrics.observe_s("deputize_call_seconds", 0.1)
    metrics.set("deputize_in_flight", 5)
    path = folder / f"{pid}-{token}.json"
    path.write_bytes(msgspec.json.encode(metrics.snapshot()))
    return path


async def n_calls(files: MetricsFiles, mine: Metrics) -> float:
    return (await files.gather(mine)).value("deputize_calls_total")


async def test_a_scrape_tells_of_all_workers_and_of_those_that_ended(tmp_path: Path) -> None:
    mine = Metrics()
    mine.add("deputize_calls_total")
    of_another(tmp_path, os.getppid(), "aa", 2)
    gone = of_another(tmp_path, NOBODY, "bb", 4)
    files = MetricsFiles(tmp_path)
    for _ in range(3):
        found = await files.gather(mine)
        assert found.value("deputize_calls_total") == 7
        assert found.value("deputize_in_flight") == 5, "nothing is in flight where nobody lives"
        (cells,) = found.histograms.values()
        assert cells[-1] == 2
    assert not gone.exists()
    of_another(tmp_path, NOBODY, "cc", 8)
    assert await n_calls(files, mine) == 15


async def test_an_ended_worker_whose_file_could_not_be_removed_is_counted_once(tmp_path: Path) -> None:
    gone = of_another(tmp_path, NOBODY, "bb", 4)
    written = gone.read_bytes()
    files = MetricsFiles(tmp_path)
    assert await n_calls(files, Metrics()) == 4
    gone.write_bytes(written)
    assert await n_calls(files, Metrics()) == 4 and await n_calls(files, Metrics()) == 4


async def test_what_is_shown_is_written_down_first(tmp_path: Path) -> None:
    """Else the next scrape, of another worker, would show less should this one be killed."""
    mine = Metrics()
    mine.add("deputize_calls_total", amount=3)
    await MetricsFiles(tmp_path).gather(mine)
    (own,) = tmp_path.glob(f"{os.getpid()}-*.json")
    assert own.rename(own.with_name(f"{NOBODY}-{own.name.partition('-')[2]}"))
    assert await n_calls(MetricsFiles(tmp_path), Metrics()) == 3


async def test_the_last_numbers_of_a_worker_that_stops_stay(tmp_path: Path) -> None:
    files, mine = MetricsFiles(tmp_path, every_s=60.0), Metrics()
    files.start(mine, lambda: mine.set("deputize_workers", 1.0))
    await asyncio.sleep(0.05)
    mine.add("deputize_calls_total", amount=9)
    await files.stop()
    (own,) = tmp_path.glob(f"{os.getpid()}-*.json")
    kept = Metrics()
    kept.merge(msgspec.json.decode(own.read_bytes()))
    assert kept.value("deputize_calls_total") == 9 and kept.value("deputize_workers") == 1


async def test_half_a_file_hides_that_worker_only(tmp_path: Path) -> None:
    mine = Metrics()
    mine.add("deputize_calls_total")
    (tmp_path / f"{os.getppid()}-aa.json").write_bytes(b'{"counters":[[')
    assert await n_calls(MetricsFiles(tmp_path), mine) == 1


def test_a_new_gateway_begins_with_nothing_and_leaves_a_running_one_alone(tmp_path: Path) -> None:
    ended, running = tmp_path / f"metrics-{NOBODY}", tmp_path / f"metrics-{os.getppid()}"
    earlier = tmp_path / f"metrics-{os.getpid()}"
    for folder in (ended, running, earlier):
        folder.mkdir()
        of_another(folder, NOBODY, "aa", 1)
    folder = begin_folder(tmp_path)
    assert folder == earlier and not list(folder.iterdir()) and list(running.iterdir()) and not ended.exists()
