"""Examples that a cheap model of other groups gets wrong, and what they weigh then."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests import tiny_tasks

from deputize.core.records import Contract
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.hard_examples import FACTOR, hard_examples, weighed_up

CONTRACT = tiny_tasks.CONTRACTS["label"]


def example(n: int, odd: bool = False) -> TrainingExample:
    word = random.Random(n).choice(["sunny", "rainy"])
    answer = "yes" if (word == "sunny") != odd else "no"
    return TrainingExample(
        f"c{n}", f"the day was {word} and number {n % 7}", answer, 1.0, f"g{n}", f"p{n % 9}"
    )


def found(examples: list[TrainingExample], contract: Contract = CONTRACT) -> list[int] | None:
    schema = learn_schema(contract, [x.answer for x in examples])
    return hard_examples(examples, schema, contract, min_origins=2)


def test_those_against_the_rule_are_hard_and_the_others_are_not() -> None:
    odd = {5, 31, 48, 77}
    assert found([example(n, n in odd) for n in range(120)]) == sorted(odd)


def test_where_nothing_or_everything_is_hard_or_no_linear_model_reads_it_there_are_none() -> None:
    assert found([example(n) for n in range(120)]) is None
    assert found([example(n, n % 2 == 0) for n in range(120)]) is None, "half of it: no rule at all"
    assert found([replace(example(n), group="one") for n in range(120)]) is None
    lines = [replace(example(n), answer=f"a line of its own {n * 37}") for n in range(60)]
    assert found(lines, tiny_tasks.CONTRACTS["line"]) is None


def test_weights_sum_to_what_they_did() -> None:
    examples = [replace(example(n), weight=1.0 + n % 3) for n in range(30)]
    weighed = weighed_up(examples, [3, 4])
    assert sum(x.weight for x in weighed) == pytest.approx(sum(x.weight for x in examples))
    ratios = [new.weight / old.weight for new, old in zip(weighed, examples, strict=True)]
    assert ratios[3] == pytest.approx(FACTOR * ratios[0]) and ratios[4] == pytest.approx(ratios[3])
