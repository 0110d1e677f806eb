"""Requests that wait, and the batches in which they are taken."""

from __future__ import annotations

import threading

from deputize.core.records import Request
from deputize.specialists.serving.batcher import Batcher, Pending
from deputize.specialists.serving.frames import PredictReply, PredictRequest


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pending(
    number: int, specialist: str, told: list[PredictReply], site: str = "x", due: float = 1e9
) -> Pending:
    return Pending(
        PredictRequest(id=number, specialist=specialist, request=Request(messages=[], site=site)),
        due,
        told.append,
    )


def test_a_batch_holds_one_specialist_oldest_first() -> None:
    batcher, told = Batcher(window_s=0, max_batch=2), list[PredictReply]()
    for number, name in enumerate(["b", "a", "b", "b"]):
        batcher.put(pending(number, name, told))
    assert [[p.ask.id for p in batcher.take(0)] for _ in range(4)] == [[0, 2], [1], [3], []]


def test_a_request_nobody_waits_for_is_dropped() -> None:
    clock, told = Clock(), list[PredictReply]()
    batcher = Batcher(window_s=0, clock=clock)
    batcher.put(pending(1, "a", told, due=5))
    batcher.put(pending(2, "a", told, due=50))
    clock.now = 10
    assert [p.ask.id for p in batcher.take(0)] == [2]


def test_the_first_request_waits_for_company() -> None:
    batcher, told = Batcher(window_s=5.0, max_batch=2), list[PredictReply]()
    batcher.put(pending(1, "a", told))
    threading.Timer(0.05, lambda: batcher.put(pending(2, "a", told))).start()
    assert [p.ask.id for p in batcher.take(1)] == [1, 2], "a full batch does not wait for the window's end"


def test_the_next_requests_are_taken_as_far_as_they_are_for_one_specialist() -> None:
    batcher, told = Batcher(window_s=0), list[PredictReply]()
    for number, name in enumerate(["a", "a", "b", "a"]):
        batcher.put(pending(number, name, told))
    assert batcher.next_name() == "a" and batcher.take_next("b", 9) == []
    assert [p.ask.id for p in batcher.take_next("a", 1)] == [0]
    assert [[p.ask.id for p in batcher.take_next(name, 9)] for name in ("a", "b", "a")] == [[1], [2], [3]]
    assert batcher.next_name() == ""


def test_who_joins_later_is_waited_for_and_what_waits_is_bounded() -> None:
    clock, told = Clock(), list[PredictReply]()
    batcher = Batcher(window_s=0, max_waiting=2, clock=clock)
    for number, due in enumerate((5, 50, 50)):
        batcher.put(pending(number, "a", told, due=due))
    assert [(one.id, one.prediction) for one in told] == [(2, None)] and "too many" in told[0].error
    clock.now = 10
    batcher.put(pending(3, "a", told, due=50))
    assert len(told) == 1, "the first is overdue: its place is free"
    clock.now = 40
    batcher.put(pending(4, "a", told, due=50))
    clock.now = 60
    assert batcher.next_name() == "" and batcher.take_next("a", 9) == []
