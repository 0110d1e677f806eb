"""How many threads a CPU works with."""

from __future__ import annotations

from deputize.specialists.thread_count import Threads


def test_the_faster_number_of_threads_is_kept_and_the_other_tried_again() -> None:
    threads = Threads(4, again_every=10)
    assert threads.pick() == 4
    threads.record(4, 10.0)
    assert threads.pick() == 1
    threads.record(1, 50.0)
    picks = [threads.pick() for _ in range(20)]
    assert picks.count(1) == 18 and picks.count(4) == 2
    for _ in range(6):
        threads.record(4, 100.0)
    assert threads.pick() == 4, "the neighbours have gone"


def test_one_core_leaves_no_choice() -> None:
    threads = Threads(1)
    with threads.work(1):
        pass
    assert {threads.pick() for _ in range(50)} == {1}
