"""Seconds that a thread has worked."""

from __future__ import annotations

from deputize.specialists.serving.time_at_work import TimeAtWork


def test_work_under_way_counts_as_well() -> None:
    now = [0.0]
    at_work = TimeAtWork(lambda: now[0])
    with at_work:
        now[0] = 2.0
        assert at_work.total_s() == 2.0
    now[0] = 10.0
    assert at_work.total_s() == 2.0
    with at_work:
        now[0] = 11.0
    assert at_work.total_s() == 3.0
