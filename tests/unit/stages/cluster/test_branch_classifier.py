"""Branch classifiers: they must hold on groups they have not seen, or there is none."""

from __future__ import annotations

import random

from deputize.core.subjects import Subjects
from deputize.core.template_key import branch_of
from deputize.stages.cluster.branch_classifier import fit_branch_classifier

KINDS = {
    "weather": (
        "will it rain in {} tomorrow",
        "weather forecast for {}",
        "is it sunny in {} and will it rain",
    ),
    "money": ("send money to {}", "transfer some money from my account to {}", "pay {} from my account"),
    "music": ("play a song by {}", "put on the song {}", "play music that sounds like {}"),
}


def texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    r = random.Random(seed)
    names = [r.choice(sorted(KINDS)) for _ in range(n)]
    return [
        r.choice(KINDS[name]).format(f"{r.choice('abcdefgh')}x{r.randint(0, 10**6)}") for name in names
    ], names


def test_a_classifier_tells_unseen_texts_apart() -> None:
    x, y = texts(300)
    classifier, worst = fit_branch_classifier(x, y, [str(i) for i in range(300)])
    assert worst is None and classifier is not None
    new, truth = texts(100, seed=9)
    assert all(branch_of(classifier, text)[0] == name for text, name in zip(new, truth, strict=True))


def test_what_cannot_be_told_apart_gets_no_classifier() -> None:
    x, _ = texts(300)
    classifier, worst = fit_branch_classifier(
        x, ["a" if i % 2 else "b" for i in range(300)], [str(i) for i in range(300)]
    )
    assert classifier is None
    assert worst == ("a", "b")


def test_a_word_of_one_person_is_a_feature_of_no_classifier() -> None:
    x, y = texts(300)
    mine = [i % 3 == 0 for i in range(300)]
    said = [
        f"{text} zobafel" if own and name == y[0] else text
        for text, name, own in zip(x, y, mine, strict=True)
    ]
    groups = [str(i) for i in range(300)]
    names = ["zoe" if own else f"o{i}" for i, own in enumerate(mine)]
    classifier, _ = fit_branch_classifier(said, y, groups, Subjects(names, 2))
    assert classifier is not None and not [word for word in classifier.weights if "zobafel" in word]
    without, _ = fit_branch_classifier(said, y, groups)
    assert without is not None and [word for word in without.weights if "zobafel" in word]
