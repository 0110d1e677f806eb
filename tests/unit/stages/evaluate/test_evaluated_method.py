"""A method answers each split once, in its order, and knows what it has answered so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from tests.unit.stages.evaluate.conftest import Clock, Slow

from deputize.core.deadline import Deadline
from deputize.core.records import Contract, Field, Prediction, Request
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod, EvaluationContext

NO_LIMIT = Deadline.after(None)


def method_of(world: Any, told: list[tuple[str, int, int | None]] | None = None) -> EvaluatedMethod:
    specialist = world.finetuned.specialists[0]
    seen = [] if told is None else told

    def progress(what: str, done: int, total: int | None = None) -> None:
        seen.append((what, done, total))

    context = EvaluationContext(world.home, world.load, load_prices(), lambda: 0.0, progress)
    return EvaluatedMethod.load(specialist, world.calls(), context)


def texts(world: Any) -> list[str]:
    return list(world.predictors["runs/r/specialists/t1-lora"].asked)


def test_validation_is_read_on_from_where_it_stopped(world: Callable[..., Any]) -> None:
    w = world(methods={"lora": 0.3}, n_calls=1000)
    told: list[tuple[str, int, int | None]] = []
    method = method_of(w, told)
    whole = method.calls.split("validation")
    method.evaluate_validation(NO_LIMIT, 8)
    assert len(method.validation) == len(method.on_validation()) == 8
    method.evaluate_validation(NO_LIMIT)
    text_of = {e.call_id: e.request.messages[-1]["content"] for e in w.curated.examples}
    assert texts(w) == [text_of[c.call_id] for c in whole], "each call is asked once, in order"
    assert told[0] == ("Route the request: validation, lora", 8, len(whole))
    assert told[-1][1:] == (len(whole), len(whole))


def test_held_out_calls_are_compared_with_their_own_answers(world: Callable[..., Any]) -> None:
    method = method_of(world(methods={"lora": 0.0}, n_calls=500))
    assert len(method.on_test()) == 0
    method.evaluate_test(NO_LIMIT)
    assert method.on_test().accuracy == 1.0 and len(method.on_test()) == method.calls.n("test")


def test_seconds_are_those_of_the_calls_that_were_read(world: Callable[..., Any]) -> None:
    w = world(methods={"lora": 0.0}, n_calls=500)
    method, clock = method_of(w), Clock()
    method.timed.predictor = Slow(w.predictors["runs/r/specialists/t1-lora"], clock, lambda n, t: 2.0)
    method.timed.clock = clock
    method.evaluate_test(Deadline(60.0, clock))
    assert method.on_test().seconds_per_call == 2.0 and len(method.test) == 30


@dataclass
class Writing:
    """Answers with free text; every fourth is not finished when all of it is written."""

    full: bool = True

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        return [
            Prediction(answer=None if self.full and i % 4 == 0 else {"why": ""}, confidence=0.5)
            for i, _ in enumerate(requests)
        ]

    def without_free_text(self) -> Writing:
        return Writing(full=False)


def test_free_text_is_written_only_where_it_is_asked_for(world: Callable[..., Any]) -> None:
    w = world(methods={"lora": 0.0}, n_calls=500)
    assert method_of(w).evaluate_full_answers(NO_LIMIT) is None, "labels hold no free text"
    contract = Contract(kind="json", fields=[Field(name="why", type="free")])
    w.discovered = msgspec.structs.replace(
        w.discovered, tasks=[msgspec.structs.replace(w.discovered.tasks[0], contract=contract)]
    )
    w.predictors = dict.fromkeys(w.predictors, Writing())
    method = method_of(w)
    method.evaluate_validation(NO_LIMIT)
    assert (method.validation.confidence_N > 0).all(), "each has an answer"
    full = method.evaluate_full_answers(NO_LIMIT)
    assert full is not None and full.n_calls == 24 and full.finished == 18 / 24


def test_a_live_call_is_measured_alone(world: Callable[..., Any]) -> None:
    """In a batch of eight a call takes a second, alone four: what a call costs is what it takes alone."""
    w = world(methods={"lora": 0.0}, n_calls=500)
    clock = Clock()

    class Batched:
        def predict(self, requests: Sequence[Request]) -> list[Prediction]:
            clock.now += 4.0 if len(requests) == 1 else float(len(requests))
            return [Prediction(answer="refund", confidence=0.9) for _ in requests]

    method = method_of(w)
    method.whole = method.timed.predictor = Batched()
    method.timed.clock = clock
    method.context = replace(method.context, clock=clock)
    method.evaluate_validation(Deadline(60.0, clock))
    assert method.seconds_alone == method.timed.seconds_per_call == 1.0
    method.measure_single_call_latency(Deadline(60.0, clock))
    assert method.seconds_alone == method.timed.seconds_per_call == 1.0, "no time for it"
    method.measure_single_call_latency(Deadline(clock.now + 1000.0, clock))
    assert method.seconds_alone == 4.0
