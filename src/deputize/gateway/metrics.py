"""Metrics of one gateway process in Prometheus' text format. Knows nothing of the contents of calls."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]
Cells = list[float]
"""The number of a counter; of a histogram a count for each bucket (the last one without a bound), the sum and the
count."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

MAX_COUNTER_SERIES = 1000
"""Label sets of one counter for one tenant. Further ones are counted together, as `OTHER`."""
MAX_HISTOGRAM_SERIES = 100
OTHER = "other"
_FOLDED = frozenset({"model", "route", "task"})
"""Labels whose values can be any number; those of all others come from the gateway or its settings."""


class MetricInfo(NamedTuple):
    """One metric as Prometheus is told of it."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


_CALL = ("served_by", "route", "task", "model", "tenant")
_OF_ROUTE = ("route", "task", "tenant")

METRICS: dict[str, MetricInfo] = {
    "deputize_build_info": MetricInfo("gauge", "1, with the version that serves.", ("version",)),
    "deputize_workers": MetricInfo("gauge", "Worker processes that serve."),
    "deputize_requests_total": MetricInfo("counter", "HTTP requests by path and status.", ("path", "status")),
    "deputize_calls_total": MetricInfo(
        "counter", "Calls to a model by who answered and why.", (*_CALL, "reason")
    ),
    "deputize_call_seconds": MetricInfo("histogram", "From arrival to the last byte of a call.", _CALL),
    "deputize_first_token_seconds": MetricInfo(
        "histogram", "From arrival to the first token of a streamed answer.", _CALL
    ),
    "deputize_tokens_total": MetricInfo("counter", "Tokens of calls by direction.", (*_CALL, "direction")),
    "deputize_cost_usd_total": MetricInfo(
        "counter",
        "US dollars of calls: of an LLM its list price, of a specialist the time of this machine.",
        _CALL,
    ),
    "deputize_saved_usd_total": MetricInfo(
        "counter",
        "US dollars that calls served by specialists would have cost at the list price of the LLM asked for, their tokens"
        " estimated from characters.",
        _CALL,
    ),
    "deputize_upstream_events_total": MetricInfo(
        "counter", "Retries, failures, fallbacks and open circuits by upstream.", ("event", "upstream")
    ),
    "deputize_specialist_errors_total": MetricInfo(
        "counter", "Specialist failures that were handed to the LLM, by reason.", ("reason", *_OF_ROUTE)
    ),
    "deputize_specialist_queue": MetricInfo(
        "gauge", "Requests that wait for a thread of the specialists' worker, some seconds ago."
    ),
    "deputize_specialist_threads": MetricInfo("gauge", "Threads of the worker that answer."),
    "deputize_specialists_loaded": MetricInfo("gauge", "Specialists in the memory of the worker."),
    "deputize_specialist_loads_total": MetricInfo("counter", "Specialists that the worker has loaded."),
    "deputize_specialist_evictions_total": MetricInfo(
        "counter", "Specialists that had to go from memory for another one."
    ),
    "deputize_specialist_busy_seconds_total": MetricInfo(
        "counter", "Seconds that the worker's threads have spent on answering and loading, together."
    ),
    "deputize_specialist_wait_seconds_total": MetricInfo(
        "counter", "Seconds that requests have waited for a thread of the worker, together."
    ),
    "deputize_specialist_taken_total": MetricInfo(
        "counter", "Requests that the worker's threads have taken."
    ),
    "deputize_specialist_hosts": MetricInfo("gauge", "Hosts of specialists: well, or left out.", ("state",)),
    "deputize_specialist_host_events_total": MetricInfo(
        "counter",
        "Hosts left out, taken back and refused, questions asked again at another one or of a second one.",
        ("event", "host"),
    ),
    "deputize_specialist_host_failures_total": MetricInfo(
        "counter", "At a host: questions that its specialists failed on."
    ),
    "deputize_audits_total": MetricInfo(
        "counter",
        "Specialist-served calls that the LLM was asked as well, by route and what came of it.",
        ("result", *_OF_ROUTE),
    ),
    "deputize_route_unwatched": MetricInfo(
        "gauge",
        "1 for a serving route whose audits show nothing: they are off, fail too often, or no loss could count against it.",
        _OF_ROUTE,
    ),
    "deputize_aborted_total": MetricInfo("counter", "Answers that were cut, by whom.", ("by", "tenant")),
    "deputize_refused_total": MetricInfo(
        "counter",
        "Requests refused before any model was asked, by reason; no tenant where the caller was not known.",
        ("reason", "tenant"),
    ),
    "deputize_in_flight": MetricInfo("gauge", "Requests being answered now."),
    "deputize_routes": MetricInfo("gauge", "Routes in the loaded route file, by state.", ("state",)),
    "deputize_route_generation": MetricInfo("gauge", "Generation of the loaded route file."),
    "deputize_pointer_version": MetricInfo("gauge", "Version of what homes share that is in force here."),
    "deputize_pointer_age": MetricInfo(
        "gauge", "Seconds since the pointer of what homes share could last be read."
    ),
    "deputize_otel_spans_total": MetricInfo(
        "counter",
        "Spans for OpenTelemetry by what became of them: sent to the exporter, or lost.",
        ("result",),
    ),
    "deputize_recorder_queued_total": MetricInfo("counter", "Calls handed to the recorder."),
    "deputize_recorder_written_total": MetricInfo("counter", "Calls durably in the store."),
    "deputize_recorder_spilled_total": MetricInfo("counter", "Calls written to the spill file."),
    "deputize_recorder_refused_total": MetricInfo("counter", "Calls the recorder could not take."),
    "deputize_recorder_failing": MetricInfo(
        "gauge",
        "1 while the store cannot take calls and they wait in the journal, or the journal cannot be written.",
    ),
    "deputize_recorder_damaged_total": MetricInfo(
        "counter", "Journal files set aside because they were changed on the disk."
    ),
    "deputize_recorder_under_way": MetricInfo("gauge", "Calls that have begun and not ended."),
    "deputize_recorder_pending": MetricInfo("gauge", "Calls waiting to be written."),
}

GRID = float(2**30)
MAX_ON_GRID = float(2**23)
SHARED_OUT = frozenset(
    {
        "deputize_in_flight",
        "deputize_recorder_pending",
        "deputize_recorder_under_way",
        "deputize_workers",
    }
)


class Metrics:
    """Counters, gauges and histograms; one object a process, used from one thread."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, Labels], Cells] = {}
        self.gauges: dict[tuple[str, Labels], float] = {}
        self.histograms: dict[tuple[str, Labels], Cells] = {}
        self._n_series: Counter[tuple[str, str]] = Counter()
        """(metric, tenant) -> label sets so far."""

    def counter(self, name: str, labels: Labels = ()) -> Cells:
        """The cell of a counter, which a caller may keep and add to."""
        cells = self.counters.get((name, labels))
        if cells is None:
            key = self._new_key(self.counters, name, labels, MAX_COUNTER_SERIES)
            cells = self.counters.setdefault(key, [0.0])
        return cells

    def histogram(self, name: str, labels: Labels = ()) -> Cells:
        """The cells of a histogram, which a caller may keep and `observe` in."""
        cells = self.histograms.get((name, labels))
        if cells is None:
            key = self._new_key(self.histograms, name, labels, MAX_HISTOGRAM_SERIES)
            cells = self.histograms.setdefault(key, [0.0] * (len(BUCKETS_S) + 3))
        return cells

    def _new_key(
        self, table: Mapping[tuple[str, Labels], Cells], name: str, labels: Labels, limit: int
    ) -> tuple[str, Labels]:
        """The key for a label set that has none yet: its own, or the one that those beyond the limit share."""
        counted = (name, dict(labels).get("tenant", ""))
        if self._n_series[counted] < limit:
            self._n_series[counted] += 1
            return name, labels
        return name, tuple((label, OTHER if label in _FOLDED else value) for label, value in labels)

    def add(self, name: str, labels: Labels = (), amount: float = 1.0) -> None:
        """Adds to a counter."""
        self.counter(name, labels)[0] += amount

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        """Sets a gauge."""
        self.gauges[(name, labels)] = value

    def observe_s(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Adds one duration to a histogram."""
        observe(self.histogram(name, labels), seconds)

    def value(self, name: str, **labels: str) -> float:
        """The sum of a counter or gauge over all label sets that hold `labels` (for tests and `status`)."""
        wanted = set(labels.items())
        found = [(key, cells[0]) for key, cells in self.counters.items()]
        return sum(v for (n, ls), v in (*found, *self.gauges.items()) if n == name and wanted <= set(ls))

    def snapshot(self) -> dict[str, list[tuple[str, Labels, list[float]]]]:
        """Everything, as plain data that another process can add up."""
        return {
            "counters": [(n, ls, list(v)) for (n, ls), v in self.counters.items()],
            "gauges": [(n, ls, [v]) for (n, ls), v in self.gauges.items()],
            "histograms": [(n, ls, list(v)) for (n, ls), v in self.histograms.items()],
        }

    def merge(
        self, snapshot: Mapping[str, Iterable[tuple[str, Iterable[tuple[str, str]], list[float]]]]
    ) -> None:
        """Adds another process's counts to these."""
        for table, kind in ((self.counters, "counters"), (self.histograms, "histograms")):
            for name, labels, cells in snapshot.get(kind, ()):
                key = (name, tuple((k, v) for k, v in labels))
                exact = [_on_grid(cell) for cell in cells]
                mine = table.get(key)
                table[key] = [a + b for a, b in zip(mine, exact, strict=True)] if mine else exact
        for name, labels, (value,) in snapshot.get("gauges", ()):
            key = (name, tuple((k, v) for k, v in labels))
            before = self.gauges.get(key, 0.0)
            # what every process holds a share of is summed; what all of them see alike is not
            self.gauges[key] = before + value if name in SHARED_OUT else max(before, value)

    def of_tenant(self, tenant: str) -> Metrics:
        """The counters of one tenant's calls."""
        own, mine = Metrics(), ("tenant", tenant)
        own.counters = {key: cells for key, cells in self.counters.items() if mine in key[1]}
        own.gauges = {key: value for key, value in self.gauges.items() if mine in key[1]}
        own.histograms = {key: cells for key, cells in self.histograms.items() if mine in key[1]}
        return own

    def text(self) -> bytes:
        """Prometheus' exposition format 0.0.4: every metric with its help and type, those without a series too."""
        series: dict[str, list[str]] = {name: [] for name in METRICS}
        numbers = [(key, cells[0]) for key, cells in self.counters.items()]
        for (name, labels), value in sorted([*numbers, *self.gauges.items()]):
            series.setdefault(name, []).append(f"{name}{_braces(labels)} {_number(value)}")
        for (name, labels), cells in sorted(self.histograms.items()):
            series.setdefault(name, []).extend(_histogram_lines(name, labels, cells))
        lines: list[str] = []
        for name in sorted(series):
            info = METRICS.get(name, MetricInfo("untyped", name))
            lines += (f"# HELP {name} {info.help}", f"# TYPE {name} {info.kind}", *series[name])
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _on_grid(value: float) -> float:
    """The multiple of 2**-30 (1e-9) at or below a finite sum of dollars or seconds.

    Sums of such multiples are exact up to 2**23, so they are the same in any order: the total of workers does not
    fall by its last bit when one of them ends and is added first.
    """
    return math.floor(value * GRID) / GRID if abs(value) < MAX_ON_GRID else value


def observe(cells: Cells, seconds: float) -> None:
    """Adds one duration to the cells of a histogram."""
    cells[bisect_left(BUCKETS_S, seconds)] += 1
    cells[-2] += seconds
    cells[-1] += 1


def _histogram_lines(name: str, labels: Labels, cells: Cells) -> Iterable[str]:
    running = 0.0
    for bound, cell in zip((*map(repr, BUCKETS_S), "+Inf"), cells, strict=False):
        running += cell
        yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {_number(running)}"
    yield f"{name}_sum{_braces(labels)} {_number(cells[-2])}"
    yield f"{name}_count{_braces(labels)} {_number(cells[-1])}"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escape(v)}"' for k, v in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(round(value, 9))
