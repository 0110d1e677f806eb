"""The load of a worker, and of hosts, as metrics."""

from __future__ import annotations

from pathlib import Path

from deputize.core.config import ServingSettings
from deputize.gateway.metrics import METRICS, Metrics
from deputize.gateway.worker_metrics import note_engine
from deputize.specialists.serving.frames import WorkerSignals
from deputize.specialists.serving.hosts_engine import HostsEngine
from deputize.specialists.serving.pool import WorkerEngine


class KeptWorker(WorkerEngine):
    """A worker that this process keeps, and that has said how it is."""

    said: WorkerSignals | None = WorkerSignals(
        n_waiting=3, n_threads=2, n_loaded=5, loads=7, evictions=2, busy_s=12.5, wait_s=1.5, n_taken=40
    )

    @property
    def signals(self) -> WorkerSignals | None:
        return self.said


def test_the_signals_of_a_worker_become_metrics(tmp_path: Path) -> None:
    metrics = Metrics()
    note_engine(metrics, KeptWorker(tmp_path, tmp_path))
    assert metrics.value("deputize_specialist_queue") == 3
    assert metrics.value("deputize_specialist_busy_seconds_total") == 12.5
    assert metrics.value("deputize_specialist_evictions_total") == 2
    assert {name for name, _ in (*metrics.counters, *metrics.gauges)} <= set(METRICS)


def test_a_worker_that_another_process_keeps_is_counted_there(tmp_path: Path) -> None:
    metrics = Metrics()
    note_engine(metrics, WorkerEngine(tmp_path, tmp_path))
    note_engine(metrics, None)
    assert not metrics.counters and not metrics.gauges


def test_hosts_are_counted_by_how_they_are() -> None:
    metrics = Metrics()
    note_engine(metrics, HostsEngine(ServingSettings(hosts=("http://127.0.0.1:1",)), b"s" * 32, dict))
    assert metrics.gauges == {
        ("deputize_specialist_hosts", (("state", "well"),)): 0,
        ("deputize_specialist_hosts", (("state", "left_out"),)): 0,
    }
