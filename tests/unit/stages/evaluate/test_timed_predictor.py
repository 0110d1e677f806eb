"""A predictor is asked in chunks that its speed allows, and none is begun that would end too late."""

from __future__ import annotations

import math

from tests.unit.stages.evaluate.conftest import LABEL, Clock, Simulated, Slow

from deputize.core.deadline import Deadline
from deputize.core.records import Request
from deputize.stages.evaluate.timed_predictor import CHUNK, FIRST, TimedPredictor

REQUESTS = [Request(messages=[{"role": "user", "content": "a"}])] * 300


def timed(seconds_per_call: float) -> tuple[TimedPredictor, Clock]:
    clock = Clock()
    slow = Slow(Simulated({"a": "other"}, LABEL, 0.0), clock, lambda n, t: seconds_per_call)
    return TimedPredictor(slow, clock), clock


def test_as_much_is_answered_as_fits_and_the_speed_is_measured() -> None:
    predictor, clock = timed(1.0)
    answers = predictor.predict_in_time(REQUESTS, Deadline(100.0, clock))
    assert len(answers) == 100 and clock.now == 100.0
    assert max(n for n, _ in predictor.chunks) <= CHUNK and predictor.seconds_per_call == 1.0
    assert predictor.affordable(7.5) == 7.5 and math.isinf(predictor.affordable(math.inf))


def test_without_a_deadline_everything_is_read() -> None:
    predictor, clock = timed(1e4)
    assert len(predictor.predict_in_time(REQUESTS, Deadline.after(None, clock))) == len(REQUESTS)


def test_nothing_is_begun_after_the_deadline_and_one_chunk_at_most_overruns_it() -> None:
    predictor, clock = timed(10.0)
    assert predictor.predict_in_time(REQUESTS, Deadline(0.0, clock)) == [] and predictor.chunks == []
    done: list[int] = []
    answers = predictor.predict_in_time(REQUESTS, Deadline(5.0, clock), done.append)
    assert len(answers) == FIRST and done == [FIRST], "the first chunk measures the speed, whatever it takes"
    assert predictor.predict_in_time(REQUESTS, Deadline(clock.now + 9.0, clock)) == []


def test_the_first_chunk_does_not_count_once_there_is_another() -> None:
    predictor, _ = timed(1.0)
    predictor.chunks = [(8, 80.0)]
    assert predictor.seconds_per_call == 10.0
    predictor.chunks.append((10, 10.0))
    assert predictor.seconds_per_call == 1.0
