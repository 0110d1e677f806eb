"""The time that a log is from: its calls over time, and what a month of it has."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.records import Example
from deputize.core.report_schema import PeriodCalls

MONTH_S = 30 * 86_400.0
LEAST_S = 86_400.0
"""Time of a log from which its rate says something of a month."""
PERIODS = 30
"""Parts that the time of a log is shown in."""


def time_span(examples: Sequence[Example]) -> tuple[float, float] | None:
    """Unix seconds of the first and the last call; None where not every call has a time."""
    times = [e.timestamp for e in examples]
    known = [t for t in times if t is not None]
    return (min(known), max(known)) if known and len(known) == len(times) else None


def calls_per_month(examples: Sequence[Example], n_code_calls: int) -> float | None:
    """Calls meant for code in 30 days at the rate of the log; None where that cannot be said."""
    span = time_span(examples)
    if span is None or span[1] - span[0] < LEAST_S:
        return None
    return n_code_calls * MONTH_S / (span[1] - span[0])


def by_time(examples: Sequence[Example]) -> list[PeriodCalls]:
    """The calls in equally long parts of the time; [] where not every call has a time, or all have the same."""
    span = time_span(examples)
    if span is None or span[0] == span[1]:
        return []
    first, length = span[0], (span[1] - span[0]) / PERIODS
    counts = [[0, 0] for _ in range(PERIODS)]
    for example in examples:
        assert example.timestamp is not None
        at = min(PERIODS - 1, int((example.timestamp - first) / length))
        counts[at][example.audience == "human"] += 1
    return [
        PeriodCalls(start_s=first + i * length, n_code=code, n_human=human)
        for i, (code, human) in enumerate(counts)
    ]
