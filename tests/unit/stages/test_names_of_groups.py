"""Names of groups come from a secret of the home: other names for the same groups change no choice of calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, cast

import pytest

from deputize.core.records import Contract, Example, PromptRecipe, Request, Task
from deputize.core.subjects import Subjects
from deputize.pipeline import tuning_trial
from deputize.scoring.certificates import draw_calls, draw_units
from deputize.specialists.out_of_distribution import OutOfDistributionDetector
from deputize.stages.cluster.branch_classifier import fit_branch_classifier
from deputize.stages.cluster.discovery_sample import DiscoverySample
from deputize.stages.cluster.field_evidence import field_evidence
from deputize.stages.evaluate.population import Population, PopulationCall
from deputize.stages.evaluate.task_calls import TaskCalls
from deputize.stages.finetune import fit_ood_detector
from deputize.stages.finetune.examples import TrainingExample, TrainingSet
from deputize.stages.finetune.methods.cross_fitting import folds_of
from deputize.stages.select import baselines
from deputize.stages.select.probe import Pair

WORDS = ["late", "broken", "invoice", "parcel", "please", "today", "again", "lamp", "chair", "box", "refund"]


def examples(secret: str, n: int = 900) -> list[tuple[Example, str]]:
    """Calls of which three are in a group; the value of each is the first of its eight words."""
    dice, out = random.Random(5), []
    for i in range(n):
        words = dice.choices(WORDS, k=8)
        group = blake2b(f"{secret}{i // 3}".encode(), digest_size=8).hexdigest()
        request = Request(messages=[{"role": "user", "content": " ".join(words)}])
        made = Example(
            call_id=f"c{i}",
            request=request,
            response={},
            audience="code",
            site="s",
            episode=group,
            group=group,
            split="train",
        )
        out.append((made, words[0]))
    return out


def evidence(secret: str) -> Any:
    return field_evidence(examples(secret))


def sample(secret: str) -> Any:
    found = DiscoverySample(0, most=90)
    found.add_all(example for example, _ in examples(secret))
    return [example.call_id for example in found.examples()]


def groups(secret: str) -> list[str]:
    return [example.group for example, _ in examples(secret)]


def detector(secret: str) -> Any:
    names = groups(secret)
    texts = [example.request.messages[0]["content"] for example, _ in examples(secret)]
    subjects = Subjects([str(i // 3) for i in range(len(texts))], 2)
    found = OutOfDistributionDetector.fit(texts, names, subjects, seed=0)
    assert found is not None
    return found.distances_R.tolist(), found.p_values([" ".join(reversed(text.split())) for text in texts])


def branches(secret: str) -> Any:
    calls = examples(secret, 300)
    texts = [example.request.messages[0]["content"] for example, _ in calls]
    wanted = ["money" if {"refund", "invoice"} & {*text.split()} else "goods" for text in texts]
    found, _ = fit_branch_classifier(texts, wanted, [example.group for example, _ in calls])
    assert found is not None
    return found


def of_train(secret: str, *, is_cross_fitted: bool) -> TrainingSet:
    """A training set of the calls, validation the same ones."""
    made = [
        TrainingExample(e.call_id, e.request.messages[0]["content"], value, 1.0, e.group, str(i // 3))
        for i, (e, value) in enumerate(examples(secret))
    ]
    task = Task(
        id="t", name="first word", contract=Contract(kind="text"), recipe=PromptRecipe(mode="slots"), keys=[]
    )
    return TrainingSet(task, made, made, [], is_cross_fitted=is_cross_fitted)


def folds(secret: str) -> Any:
    return folds_of(of_train(secret, is_cross_fitted=True)).tolist()


def fifths_of_baselines(secret: str) -> Any:
    pairs = [Pair(e.call_id, value, e.group, "") for e, value in examples(secret)]
    fitted, measured = baselines._parts(pairs, [])
    assert fitted and measured
    return [pair.text for pair in measured]


def fifths_of_a_race(secret: str) -> Any:
    found = tuning_trial._by_group(of_train(secret, is_cross_fitted=True))
    assert found.train and found.validation
    return [x.call_id for x in found.validation]


def power_of_a_detector(secret: str) -> Any:
    given = of_train(secret, is_cross_fitted=True)
    detector = fit_ood_detector.fit_ood_detector(given, 2, 0)
    assert detector is not None
    other, held = fit_ood_detector._without_some(detector, given, 2, 0)
    assert other is not detector and len(held) < len(given.train)
    return [x.call_id for x in held]


def calls_of_a_task(secret: str) -> Any:
    calls = [
        PopulationCall(e.call_id, e.episode, e.group, "code", "calibration", True, 0.0, False)
        for e, _ in examples(secret)
    ]
    task = of_train(secret, is_cross_fitted=False).task
    ordered = TaskCalls(task, Population({"t": calls}, cast(Any, None)), seed=0).split("calibration")
    return [call.call_id for call in ordered]


CHOICES: dict[str, Callable[[str], Any]] = {
    "evidence": evidence,
    "sample": sample,
    "units": lambda secret: draw_units(groups(secret), 1).tolist(),
    "calls": lambda secret: draw_calls(groups(secret), 4, 1).tolist(),
    "detector": detector,
    "branches": branches,
    "folds": folds,
    "fifths of baselines": fifths_of_baselines,
    "fifths of a race": fifths_of_a_race,
    "power of a detector": power_of_a_detector,
    "calls of a task": calls_of_a_task,
}


@pytest.mark.parametrize("name", CHOICES)
def test_other_names_of_the_same_groups_change_nothing(name: str) -> None:
    choose = CHOICES[name]
    first = choose("home 0")
    assert all(choose(f"home {n}") == first for n in range(1, 4)), name
