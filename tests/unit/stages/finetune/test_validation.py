"""Which validation examples are used, and which epoch is the best."""

from __future__ import annotations

import math

from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.validation import (
    MIN_EXAMPLES,
    NOT_VALIDATED,
    Validation,
    ValidationResult,
)


def rows(n: int, length: int = 10) -> list[EncodedExample]:
    return [EncodedExample([i] * length, 1, 1.0, [], []) for i in range(n)]


def of(n: int, most: int = 400) -> Validation:
    return Validation(rows(n), seed=0, most=most, micro_tokens=64)


def test_a_sample_by_the_seed_is_used_where_there_is_too_much() -> None:
    assert len(of(100, 20).rows) == 20
    assert [r.ids for r in of(100, 20).rows] == [r.ids for r in of(100, 20).rows]
    other = Validation(rows(100), seed=1, most=20, micro_tokens=64)
    assert [r.ids for r in other.rows] != [r.ids for r in of(100, 20).rows]


def test_the_budget_bounds_it_once_but_some_are_always_used() -> None:
    validation = of(300)
    # 10 s at 200 tokens/s of validation, a tenth of it, over 2 epochs: 100 tokens
    validation.fit_to_budget(10.0, 2, tokens_per_s=100.0, n_train_tokens=100)
    assert len(validation.rows) == MIN_EXAMPLES
    rich = of(300)
    rich.fit_to_budget(1000.0, 2, tokens_per_s=40.0, n_train_tokens=100)
    assert len(rich.rows) == 300
    rich.fit_to_budget(0.0, 2, tokens_per_s=1.0, n_train_tokens=100)
    assert len(rich.rows) == 300, "once"


def test_the_best_epoch_is_that_of_least_loss_on_few_and_of_most_coverage_on_many() -> None:
    low, wide = ValidationResult(0.1, 0.8, 0.2), ValidationResult(0.3, 0.9, 0.6)
    assert of(50).score(low, 1) > of(50).score(wide, 2)
    assert of(300).score(low, 1) < of(300).score(wide, 2)
    assert of(50).score(NOT_VALIDATED, 1) == -math.inf
    assert of(0).score(NOT_VALIDATED, 2) > of(0).score(NOT_VALIDATED, 1), "without any the last one"
