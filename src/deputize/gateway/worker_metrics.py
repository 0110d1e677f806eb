"""The load of what answers for specialists as metrics: of the worker of this machine, or of the hosts that are
asked."""

from __future__ import annotations

from deputize.gateway.metrics import Metrics
from deputize.specialists.serving.base import Engine
from deputize.specialists.serving.hosts_engine import HostsEngine
from deputize.specialists.serving.pool import WorkerEngine


def note_engine(metrics: Metrics, engine: Engine | None) -> None:
    """Updates the metrics of an engine; of one of another package nothing is known."""
    if isinstance(engine, HostsEngine):
        hosts = engine.hosts
        metrics.set("deputize_specialist_hosts", sum(host.is_well for host in hosts), (("state", "well"),))
        metrics.set(
            "deputize_specialist_hosts", sum(not host.is_well for host in hosts), (("state", "left_out"),)
        )
    if not isinstance(engine, WorkerEngine) or (found := engine.signals) is None:
        return
    metrics.set("deputize_specialist_queue", found.n_waiting)
    metrics.set("deputize_specialist_threads", found.n_threads)
    metrics.set("deputize_specialists_loaded", found.n_loaded)
    for name, total in (
        ("loads", found.loads),
        ("evictions", found.evictions),
        ("busy_seconds", found.busy_s),
        ("wait_seconds", found.wait_s),
        ("taken", found.n_taken),
    ):
        metrics.counter(f"deputize_specialist_{name}_total")[0] = total
