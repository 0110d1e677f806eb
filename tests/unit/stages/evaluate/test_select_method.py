"""The method is chosen by what it could serve, and a more expensive one has to earn its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from deputize.core.contracts import DEFER
from deputize.core.records import Contract, Prediction
from deputize.scoring.certificates import NEVER
from deputize.stages.evaluate.evaluation import Evaluation, served_confidence
from deputize.stages.evaluate.select_method import choose, in_order_of_cost


def measured(right: list[bool], confidence: list[float]) -> Evaluation:
    n = len(right)
    names, r = [str(i) for i in range(n)], np.array(right)
    ones = np.ones(n)
    return Evaluation(names, names, np.array(confidence), r, r, ones.astype(bool), ones, ones * np.nan, 1.0)


def test_a_method_of_equal_accuracy_that_knows_when_it_is_right_wins() -> None:
    right = [i % 5 != 0 for i in range(200)]
    blind = measured(right, [0.9] * 200)
    knowing = measured(right, [0.9 if r else 0.1 for r in right])
    choice = choose(["linear", "lora"], [blind, knowing], 0.02)
    assert choice.index == 1 and "most on validation" in choice.reason
    choice = choose(["linear", "lora"], [knowing, knowing], 0.02)
    assert choice.index == 0


def test_without_anything_servable_the_most_accurate_is_shown() -> None:
    choice = choose(
        ["linear", "lora"],
        [measured([False] * 9 + [True], [NEVER] * 10), measured([True] * 10, [NEVER] * 10)],
        0.02,
    )
    assert choice.index == 1 and "no method could serve" in choice.reason


def test_order_of_cost_follows_the_plan_then_the_usual_one(world: Callable[..., Any]) -> None:
    specialists = world(methods={"lora": 0, "linear": 0, "dora": 0}).finetuned.specialists
    assert [s.method for s in in_order_of_cost(specialists, [])] == ["linear", "lora", "dora"]
    assert in_order_of_cost(specialists, ["lora", "linear"])[0].method == "lora"
    both = msgspec.structs.replace(specialists[0], method="linear+lora", cost=19)
    plan = ["linear", "lora", "dora"]
    found = [s.method for s in in_order_of_cost([*specialists, both], plan)]
    assert found == ["linear", "linear+lora", "lora", "dora"], "a cascade comes before its expensive member"
    assert [s.method for s in in_order_of_cost([*specialists, both], [])] == found
    three = [
        msgspec.structs.replace(specialists[0], method=method, cost=49, model=model)
        for method, model in (("linear+lora+dora", "a"), ("linear+dora", "b"))
    ]
    found = [s.method for s in in_order_of_cost([*specialists, both, *three], plan)]
    assert found == ["linear", "linear+lora", "lora", "linear+dora", "linear+lora+dora", "dora"], (
        "fewer members first"
    )


def test_confidence_of_what_must_not_be_served() -> None:
    mixed = Contract(kind="tool_call", tools=["f"], may_defer=True)
    assert served_confidence(Prediction(answer=DEFER, confidence=0.9), mixed) == NEVER
    assert served_confidence(Prediction(answer=None, confidence=0.9), mixed) == NEVER
    assert (
        served_confidence(Prediction(answer=[{"name": "f", "arguments": {}}], confidence=0.0), mixed) == NEVER
    )
    assert (
        served_confidence(Prediction(answer=[{"name": "f", "arguments": {}}], confidence=0.7), mixed) == 0.7
    )
