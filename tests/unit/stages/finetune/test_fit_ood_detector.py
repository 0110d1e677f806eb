"""The detector's threshold costs little of what could be served, and its power is measured before anything is claimed."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from deputize.core.records import Contract, PromptRecipe, Task
from deputize.scoring.certificates import NEVER
from deputize.stages.finetune.examples import TrainingExample, TrainingSet
from deputize.stages.finetune.fit_ood_detector import (
    HELD_OUT_LABELS,
    OTHER_TASKS,
    P_VALUES,
    Predicted,
    fit_ood_detector,
    measured,
)

LOG = Path(__file__).parents[4] / "../shared/data/intent_clinc150.jsonl.gz"


def training_set(rows: list[tuple[str, str]], n_train: int, labels: list[str]) -> TrainingSet:
    made = [TrainingExample(f"c{i}", text, answer, 1.0, f"g{i}") for i, (text, answer) in enumerate(rows)]
    contract = Contract(kind="label", labels=labels)
    task = Task(id="t", name="t", contract=contract, recipe=PromptRecipe(), keys=[])
    return TrainingSet(task, made[:n_train], made[n_train:], [])


def letters(n: int, seed: int = 0) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    things = ["parcel", "lamp", "chair", "kettle", "coat", "phone"]
    states = ["has not arrived", "is broken", "came late", "is the wrong one"]
    return [(f"my {rng.choice(things)} {(state := rng.choice(states))} today", state) for _ in range(n)]


def predicted(n: int, *, right: bool = True) -> Predicted:
    return Predicted(np.linspace(1, 0.5, n), np.full(n, right))


def test_power_and_cost_are_those_of_validation() -> None:
    examples = training_set(letters(500), 300, [])
    detector = fit_ood_detector(examples, 2, 0)
    assert detector is not None
    found = measured(detector, examples, predicted(200), epsilon=0.05, least_subjects=2, seed=0)
    assert found.n_groups == 300 and found.p_value in P_VALUES
    assert found.flagged_as_they_are <= 0.08
    assert found.flagged_when_changed["instruction added"] > 0.9
    assert set(found.flagged_when_changed) >= {"negated", "other language asked for", HELD_OUT_LABELS}
    assert 0 < found.power <= 1


def test_calls_of_other_tasks_are_a_kind_of_their_own() -> None:
    examples = training_set(letters(500), 300, [])
    detector = fit_ood_detector(examples, 2, 0)
    assert detector is not None
    others = dataclasses.replace(
        examples, other_task_prompts=["SELECT name FROM users", "write a haiku about rain"]
    )
    found = measured(detector, others, predicted(200), epsilon=0.05, least_subjects=2, seed=0)
    assert found.flagged_when_changed[OTHER_TASKS] == 1.0
    alone = measured(detector, examples, predicted(200), epsilon=0.05, least_subjects=2, seed=0)
    assert OTHER_TASKS not in alone.flagged_when_changed


def test_a_threshold_that_costs_what_could_be_served_is_not_taken() -> None:
    odd = [(f"{text} {'zq' * (i % 9)}{i}vvk", answer) for i, (text, answer) in enumerate(letters(200, 2))]
    examples = training_set([*letters(300), *odd], 300, [])
    detector = fit_ood_detector(examples, 2, 0)
    assert detector is not None
    expensive = measured(detector, examples, predicted(200), epsilon=0.05, least_subjects=2, seed=0)
    assert expensive.p_value == min(P_VALUES)
    unsure = Predicted(np.full(200, NEVER), np.zeros(200, dtype=bool))
    free = measured(detector, examples, unsure, epsilon=0.05, least_subjects=2, seed=0)
    assert free.p_value == max(P_VALUES), "nothing could be served anyway"


def test_without_enough_groups_or_validation() -> None:
    assert fit_ood_detector(training_set(letters(99), 99, []), 2, 0) is None
    examples = training_set(letters(150), 150, [])
    detector = fit_ood_detector(examples, 2, 0)
    assert detector is not None
    none = Predicted(np.zeros(0), np.zeros(0, dtype=bool))
    found = measured(detector, examples, none, epsilon=0.05, least_subjects=2, seed=0)
    assert (found.p_value, found.flagged_as_they_are, found.flagged_when_changed) == (min(P_VALUES), 0.0, {})
    assert found.power == 0.0


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not LOG.exists(), reason="needs ../shared/data/intent_clinc150.jsonl.gz")
def test_half_of_what_is_out_of_scope_in_clinc150_is_noticed() -> None:
    with gzip.open(LOG, "rt", encoding="utf-8") as lines:
        log = [json.loads(line) for line in lines]
    random.Random(0).shuffle(log)
    rows = [(row["messages"][-1]["content"], row["response"]["content"]) for row in log]
    inside = [row for row in rows if row[1] != "oos"]
    outside = [text for text, answer in rows if answer == "oos"][:1000]
    examples = training_set(inside[:6000], 5000, [])
    detector = fit_ood_detector(examples, 2, 0)
    assert detector is not None

    def flagged(texts: list[str]) -> float:
        return float(np.mean(np.array(detector.p_values(texts)) < 0.05))

    assert flagged([text for text, _ in inside[6000:8000]]) <= 0.07
    assert flagged(outside) >= 0.5
    found = measured(detector, examples, predicted(200, right=False), epsilon=0.05, least_subjects=2, seed=0)
    assert found.p_value == 0.05 and found.power >= 0.4, found
    assert found.flagged_when_changed["instruction added"] >= 0.8, found
