"""Counters of several workers."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from deputize.gateway.metrics import Metrics
from deputize.gateway.metrics_files import MetricsFiles


def test_a_scrape_tells_of_live_workers_only(tmp_path: Path) -> None:
    mine, other = Metrics(), Metrics()
    mine.add("deputize_calls_total")
    other.add("deputize_calls_total", amount=2)
    (tmp_path / f"{os.getppid()}.json").write_bytes(msgspec.json.encode(other.snapshot()))
    (tmp_path / "999999999.json").write_bytes(msgspec.json.encode(other.snapshot()))
    (tmp_path / f"{os.getpid()}.json").write_bytes(b"my own file is not read")
    text = MetricsFiles(tmp_path).gather(mine).text().decode()
    assert "deputize_calls_total 3" in text
    assert not (tmp_path / "999999999.json").exists()


async def test_a_worker_takes_its_file_down(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    (tmp_path / f"{os.getpid()}.json").write_bytes(b"{}")
    files.start(Metrics(), lambda: None)
    files.stop()
    assert not list(tmp_path.glob("*.json"))
