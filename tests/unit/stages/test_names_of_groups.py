"""Names of groups come from a secret of the home: other names for the same groups change no choice of calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest

from deputize.core.records import Contract, Example, PromptRecipe, Request, Task
from deputize.core.subjects import Subjects
from deputize.scoring.certificates import draw_calls, draw_units
from deputize.specialists.out_of_distribution import OutOfDistributionDetector
from deputize.stages.cluster.branch_classifier import fit_branch_classifier
from deputize.stages.cluster.discovery_sample import DiscoverySample
from deputize.stages.cluster.field_evidence import field_evidence
from deputize.stages.finetune.examples import TrainingExample, TrainingSet
from deputize.stages.finetune.methods.cross_fitting import folds_of

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


def folds(secret: str) -> Any:
    of_train = [TrainingExample(e.call_id, value, value, 1.0, e.group) for e, value in examples(secret)]
    task = Task(
        id="t", name="first word", contract=Contract(kind="text"), recipe=PromptRecipe(mode="slots"), keys=[]
    )
    return folds_of(TrainingSet(task, of_train, of_train, [], is_cross_fitted=True)).tolist()


CHOICES: dict[str, Callable[[str], Any]] = {
    "evidence": evidence,
    "sample": sample,
    "units": lambda secret: draw_units(groups(secret), 1).tolist(),
    "calls": lambda secret: draw_calls(groups(secret), 4, 1).tolist(),
    "detector": detector,
    "branches": branches,
    "folds": folds,
}


@pytest.mark.parametrize("name", CHOICES)
def test_other_names_of_the_same_groups_change_nothing(name: str) -> None:
    choose = CHOICES[name]
    first = choose("home 0")
    assert all(choose(f"home {n}") == first for n in range(1, 4)), name
