"""The rate of a log is said of a month only where its times allow it."""

from __future__ import annotations

from deputize.core.records import Example, Request
from deputize.stages.evaluate.log_times import PERIODS, by_time, calls_per_month, time_span

DAY = 86_400.0


def calls(*times: float | None) -> list[Example]:
    return [
        Example(
            call_id=f"c{i}",
            request=Request(messages=[]),
            response={},
            audience="human" if i % 3 == 2 else "code",
            site="s",
            episode="e",
            group="g",
            timestamp=time,
        )
        for i, time in enumerate(times)
    ]


def test_a_month_has_as_many_calls_as_the_rate_of_the_log_gives() -> None:
    assert calls_per_month(calls(0.0, 3 * DAY), 200) == 2_000
    assert calls_per_month(calls(0.0, 0.9 * DAY), 200) is None
    assert calls_per_month(calls(0.0, None), 200) is None and time_span([]) is None


def test_calls_over_time_are_all_there() -> None:
    found = by_time(calls(*(DAY * i for i in range(61))))
    assert len(found) == PERIODS and found[0].start_s == 0
    assert sum(p.n_code for p in found) == 41 and sum(p.n_human for p in found) == 20
    assert by_time(calls(5.0, 5.0)) == [] and by_time(calls(None)) == []
