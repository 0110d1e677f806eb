"""Metrics of one gateway process in Prometheus' text format. Knows nothing of the contents of calls."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

Labels = tuple[tuple[str, str], ...]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

HELP: dict[str, tuple[str, str]] = {
    "deputize_requests_total": ("counter", "HTTP requests by path and status."),
    "deputize_calls_total": ("counter", "Calls to a model by who answered and why, and by tenant."),
    "deputize_call_seconds": ("histogram", "From arrival to the last byte, by who answered."),
    "deputize_first_token_seconds": ("histogram", "From arrival to the first token of a streamed answer."),
    "deputize_upstream_events_total": (
        "counter",
        "Retries, failures, fallbacks and open circuits by upstream.",
    ),
    "deputize_specialist_errors_total": (
        "counter",
        "Specialist failures that were handed to the LLM, by reason.",
    ),
    "deputize_audits_total": (
        "counter",
        "Specialist-served calls that the LLM was asked as well, by route and what came of it.",
    ),
    "deputize_route_unwatched": (
        "gauge",
        "1 for a serving route whose audits show nothing: they are off, fail too often, or no loss could count against it.",
    ),
    "deputize_aborted_total": ("counter", "Answers that were cut, by whom."),
    "deputize_refused_total": ("counter", "Requests refused before any model was asked, by reason."),
    "deputize_tokens_total": ("counter", "Tokens by who answered and direction."),
    "deputize_in_flight": ("gauge", "Requests being answered now."),
    "deputize_routes": ("gauge", "Routes in the loaded route file, by state."),
    "deputize_route_generation": ("gauge", "Generation of the loaded route file."),
    "deputize_recorder_queued_total": ("counter", "Calls handed to the recorder."),
    "deputize_recorder_written_total": ("counter", "Calls durably in the store."),
    "deputize_recorder_spilled_total": ("counter", "Calls written to the spill file."),
    "deputize_recorder_refused_total": ("counter", "Calls the recorder could not take."),
    "deputize_recorder_failing": (
        "gauge",
        "1 while the store cannot take calls and they wait in the journal.",
    ),
    "deputize_recorder_damaged_total": (
        "counter",
        "Journal files set aside because they were changed on the disk.",
    ),
    "deputize_recorder_under_way": ("gauge", "Calls that have begun and not ended."),
    "deputize_recorder_pending": ("gauge", "Calls waiting to be written."),
}


SHARED_OUT = frozenset({"deputize_in_flight", "deputize_recorder_pending", "deputize_recorder_under_way"})


class Metrics:
    """Counters, gauges and histograms; one object a process, used from one thread."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, Labels], float] = {}
        self.gauges: dict[tuple[str, Labels], float] = {}
        self.histograms: dict[tuple[str, Labels], list[float]] = {}

    def add(self, name: str, labels: Labels = (), amount: float = 1.0) -> None:
        """Adds to a counter."""
        key = (name, labels)
        self.counters[key] = self.counters.get(key, 0.0) + amount

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        """Sets a gauge."""
        self.gauges[(name, labels)] = value

    def observe_s(self, name: str, seconds: float, labels: Labels = ()) -> None:
        """Adds one duration to a histogram: its last two cells are the sum and the count."""
        cells = self.histograms.get((name, labels))
        if cells is None:
            cells = self.histograms[(name, labels)] = [0.0] * (len(BUCKETS_S) + 3)
        cells[bisect_left(BUCKETS_S, seconds)] += 1
        cells[-2] += seconds
        cells[-1] += 1

    def value(self, name: str, **labels: str) -> float:
        """The sum of a counter or gauge over all label sets that hold `labels` (for tests and `status`)."""
        wanted = set(labels.items())
        return sum(
            v
            for table in (self.counters, self.gauges)
            for (n, ls), v in table.items()
            if n == name and wanted <= set(ls)
        )

    def snapshot(self) -> dict[str, list[tuple[str, Labels, list[float]]]]:
        """Everything, as plain data that another process can add up."""
        return {
            "counters": [(n, ls, [v]) for (n, ls), v in self.counters.items()],
            "gauges": [(n, ls, [v]) for (n, ls), v in self.gauges.items()],
            "histograms": [(n, ls, list(v)) for (n, ls), v in self.histograms.items()],
        }

    def merge(
        self, snapshot: Mapping[str, Iterable[tuple[str, Iterable[tuple[str, str]], list[float]]]]
    ) -> None:
        """Adds another process's counts to these."""
        for name, labels, (value,) in snapshot.get("counters", ()):
            key = (name, tuple((k, v) for k, v in labels))
            self.counters[key] = self.counters.get(key, 0.0) + value
        for name, labels, (value,) in snapshot.get("gauges", ()):
            key = (name, tuple((k, v) for k, v in labels))
            before = self.gauges.get(key, 0.0)
            # what every process holds a share of is summed; what all of them see alike is not
            self.gauges[key] = before + value if name in SHARED_OUT else max(before, value)
        for name, labels, cells in snapshot.get("histograms", ()):
            key = (name, tuple((k, v) for k, v in labels))
            mine = self.histograms.get(key)
            self.histograms[key] = [a + b for a, b in zip(mine, cells, strict=True)] if mine else list(cells)

    def of_tenant(self, tenant: str) -> Metrics:
        """The counters of one tenant's calls."""
        own, mine = Metrics(), ("tenant", tenant)
        own.counters = {key: value for key, value in self.counters.items() if mine in key[1]}
        own.gauges = {key: value for key, value in self.gauges.items() if mine in key[1]}
        own.histograms = {key: cells for key, cells in self.histograms.items() if mine in key[1]}
        return own

    def text(self) -> bytes:
        """Prometheus' exposition format 0.0.4."""
        lines: list[str] = []
        last = ""

        def head(name: str) -> None:
            nonlocal last
            if name != last:
                kind, sentence = HELP.get(name, ("untyped", name))
                lines.extend((f"# HELP {name} {sentence}", f"# TYPE {name} {kind}"))
                last = name

        for (name, labels), value in sorted([*self.counters.items(), *self.gauges.items()]):
            head(name)
            lines.append(f"{name}{_braces(labels)} {_number(value)}")
        for (name, labels), cells in sorted(self.histograms.items()):
            head(name)
            running = 0.0
            for bound, cell in zip((*map(repr, BUCKETS_S), "+Inf"), cells, strict=False):
                running += cell
                lines.append(f"{name}_bucket{_braces((*labels, ('le', bound)))} {_number(running)}")
            lines.append(f"{name}_sum{_braces(labels)} {_number(cells[-2])}")
            lines.append(f"{name}_count{_braces(labels)} {_number(cells[-1])}")
        return ("\n".join(lines) + "\n").encode()


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escape(v)}"' for k, v in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
