"""Certificates over groups that are truly independent: dialogues without names, repeated prompts, few people.

Each simulation goes through the linking, the grouping, the split, the draw and the test of the package. The
specialist's true loss is just above what is claimed, so a certificate is a false one; delta allows .05 of them.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
from numpy.random import Generator

from deputize.core.config import Convert
from deputize.core.records import Call
from deputize.scoring.certificates import certify, draw_calls
from deputize.stages.collect.episodes import link_episodes
from deputize.stages.curate.first_pass import CallSummary, summarise
from deputize.stages.curate.groups import Splits, split_calls
from deputize.stages.curate.run import LinkedLog

EPSILON = DELTA = 0.05
TRUTH = 0.055
CONFIG = Convert(epsilon=EPSILON, delta=DELTA)


def curated(calls: list[Call], config: Convert = CONFIG) -> tuple[list[CallSummary], Splits]:
    log = LinkedLog(calls, link_episodes(calls).episode_of)
    summaries = [summarise(call, "site", "") for call in log]
    return summaries, split_calls(summaries, [], config)


def share_certified(summaries: list[CallSummary], splits: Splits, losses: list[np.ndarray]) -> float:
    """How often calibration certifies a specialist that serves every call."""
    at = [i for i, c in enumerate(summaries) if splits.of(c) == "calibration"]
    groups = [splits.group_of[summaries[i].id] for i in at]
    seen = (splits.group_of[c.id] for c in summaries if splits.of(c) in ("train", "validation"))
    largest = max(Counter(seen).values())
    n_certified = 0
    for seed, wrong in enumerate(losses):
        drawn = wrong[at][draw_calls(groups, largest, seed)]
        confidence = np.full(drawn.size, 0.9)
        n_certified += certify("not_worse_than_llm", confidence, drawn, [0.5], EPSILON, DELTA).n_passed > 0
    return n_certified / len(losses)


def correlated(rng: Generator, n_groups: int, size: int, icc: float) -> np.ndarray:
    """Errors at the true rate; of a group a share `icc` of the calls is wrong or right together."""
    shared = np.repeat(rng.random(n_groups) < TRUTH, size)
    own = rng.random(n_groups * size) < TRUTH
    return np.where(rng.random(n_groups * size) < icc**0.5, shared, own)


def dialogues(n: int, n_steps: int, timed: bool) -> list[Call]:
    calls = []
    for e in range(n):
        history = [{"role": "user", "content": f"please do job number {e}"}]
        for step in range(n_steps):
            reply = {"role": "assistant", "content": f"step {step}"}
            time = float(e * n_steps + step) if timed else None
            calls.append(Call(id=f"c{e}-{step}", messages=list(history), response=reply, timestamp=time))
            history += [reply, {"role": "user", "content": f"result {e} {step}"}]
    return calls


@pytest.mark.parametrize("timed", [True, False])
def test_dialogues_without_names_are_the_units(timed: bool) -> None:
    summaries, splits = curated(dialogues(100, 10, timed))
    assert len(splits.split_of_group) == 100 and splits.warnings == []
    for e in range(100):
        assert len({splits.group_of[f"c{e}-{step}"] for step in range(10)}) == 1
    summaries, splits = curated(dialogues(400, 4, timed))
    for icc in (0.0, 0.5, 1.0):
        rng = np.random.default_rng([int(timed), int(icc * 2)])
        losses = [correlated(rng, 400, 4, icc) for _ in range(600)]
        assert share_certified(summaries, splits, losses) <= DELTA + 0.02  # two standard errors


@pytest.mark.parametrize("n_repeats", [1, 3, 5, 10])
def test_repeated_prompts_are_one_unit(n_repeats: int) -> None:
    n_prompts = 1000 // n_repeats
    n_calls = n_prompts * n_repeats
    calls = [
        Call(
            id=f"c{p}-{i}",
            episode=f"run{p}-{i}",
            messages=[
                {"role": "system", "content": f"It is 2026-03-{1 + i:02d} 16:{10 + i}."},
                {"role": "user", "content": f"please sum up report {p} of the night"},
            ],
            response={"role": "assistant", "content": "done"},
            timestamp=float(p * n_repeats + i),
        )
        for p in range(n_prompts)
        for i in range(n_repeats)
    ]
    summaries, splits = curated(calls)
    assert len(splits.split_of_group) == n_prompts and splits.n_groups_joined == n_calls - n_prompts
    rng = np.random.default_rng(n_repeats)
    losses = [np.repeat(rng.random(n_prompts) < TRUTH, n_repeats) for _ in range(600)]
    assert share_certified(summaries, splits, losses) <= DELTA + 0.02


def people_log(n_people: int, n_calls: int, rng: Generator) -> tuple[list[Call], np.ndarray]:
    who = rng.integers(n_people, size=n_calls)
    calls = [
        Call(
            id=f"c{i}",
            episode=f"e{i}",
            origin=f"person-{w}",
            messages=[{"role": "user", "content": f"this is the question number {i}"}],
            response={"role": "assistant", "content": "done"},
        )
        for i, w in enumerate(who)
    ]
    return calls, who


@pytest.mark.parametrize("n_people", [5, 10, 30])
def test_few_people_are_named_and_the_claim_about_them_holds(n_people: int) -> None:
    rng = np.random.default_rng(n_people)
    calls, who = people_log(n_people, 1000, rng)
    summaries, splits = curated(calls)
    assert splits.n_people == n_people and not splits.by_person and len(splits.split_of_group) == 1000
    assert f"{n_people} people" in splits.warnings[0] and "a new person may differ" in splits.warnings[0]
    losses: list[np.ndarray] = []
    while len(losses) < 600:
        rate = rng.beta(0.3, 0.3 * (1 - TRUTH) / TRUTH, n_people)
        rate *= TRUTH / rate.mean()  # of these people
        if rate.max() <= 1:
            losses.append(rng.random(1000) < rate[who])
    assert share_certified(summaries, splits, losses) <= DELTA + 0.02


def test_enough_people_are_the_units_of_a_claim_about_new_ones() -> None:
    rng = np.random.default_rng(0)
    calls, who = people_log(300, 3000, rng)
    summaries, splits = curated(calls)
    assert splits.by_person and splits.n_people == len(splits.split_of_group) == 300
    for person in range(300):
        assert len({splits.of(c) for c, w in zip(summaries, who, strict=True) if w == person}) == 1
    losses = [rng.random(3000) < rng.beta(0.3, 0.3 * (1 - TRUTH) / TRUTH, 300)[who] for _ in range(600)]
    assert share_certified(summaries, splits, losses) <= DELTA + 0.02


def test_people_who_ask_much_less_than_others_are_less_evidence() -> None:
    """A claim takes 63 units of at most 46 % of the people: 137 who ask alike, but not if one asks half of all calls."""
    alike, one_asks_half = np.arange(3000) % 150, np.r_[np.zeros(1500, int), np.arange(1500) % 149 + 1]
    for who, by_person in ((alike, True), (one_asks_half, False)):
        rng = np.random.default_rng(2)
        calls = [
            msgspec.structs.replace(call, origin=f"person-{w}")
            for call, w in zip(people_log(150, 3000, rng)[0], who, strict=True)
        ]
        _, splits = curated(calls)
        assert splits.by_person == by_person


def test_many_people_with_few_calls_each_are_not_counted() -> None:
    calls, _ = people_log(900, 1000, np.random.default_rng(1))
    _, splits = curated(calls)
    assert splits.n_people == 0 and splits.warnings == [] and len(splits.split_of_group) == 1000


def test_a_call_for_training_only_is_in_no_other_split() -> None:
    splits = Splits(
        {"a": "t", "b": "c", "c": "c"}, {"t": "train", "c": "calibration"}, [], training_only={"a", "b"}
    )
    assert [splits.of(Call(id=id, messages=[], response={})) for id in "abc"] == ["train", "", "calibration"]


def test_calls_that_are_not_curated_go_with_their_group_or_are_split_by_themselves() -> None:
    """A call that is withheld is in the population: in the split of its episode, or in one of its own."""

    def summary(i: int, kind: str) -> CallSummary:
        text = {"role": "user", "content": f"{kind} number {i} of the day"}
        call = Call(id=f"{kind}{i}", messages=[text], response={}, episode=f"e{i}", timestamp=float(i))
        return summarise(call, "site", "")

    config = Convert(split=(0.45, 0.10, 0.25, 0.20))
    calls = [summary(i, "sorted") for i in range(100)]
    beside = [summary(i, "quarantined") for i in range(0, 100, 3)]
    others = [summary(i, "spoken") for i in range(100, 140)]
    by_themselves = split_calls(calls, [], config)
    splits = split_calls(calls, [*beside, *others], config)
    assert [splits.of(c) for c in calls] == [by_themselves.of(c) for c in calls]
    assert [splits.of(c) for c in beside] == [by_themselves.of(c) for c in calls[::3]]
    found = Counter(splits.of(c) for c in others)
    assert found == {"train": 18, "validation": 4, "calibration": 10, "test": 8}
    held = split_calls(calls, others, config, {c.id for c in others})
    assert {held.of(c) for c in others} == {"train"} and {held.of(c) for c in calls} == {*found}


def test_a_small_log_keeps_a_reserve_and_a_large_one_validates() -> None:
    """Where calibration gets all that it could use, nothing has to be saved; nor where shares are set by hand, no
    method can be cross-fitted, or labels are claimed about, whose draw is checked on validation."""

    def names(n: int, **settings: object) -> set[str]:
        _, splits = curated(dialogues(n, 1, True), CONFIG.model_copy(update=settings))
        return {*splits.split_of_group.values()}

    small, large = {"train", "reserve", "calibration", "test"}, {"train", "validation", "calibration", "test"}
    assert names(200) == names(540) == small and names(560) == large
    assert names(560, epsilon=0.02) == small
    assert names(80) == large, "nothing can be certified"
    assert names(200, methods=("lora", "cache")) == small
    for settings in (
        {"methods": ("lora",)},
        {"split": (0.4, 0.1, 0.4, 0.1)},
        {"reference": "labels"},
    ):
        assert names(200, **settings) == large


def test_the_reserve_lies_between_train_and_calibration_in_time() -> None:
    summaries, splits = curated(dialogues(200, 1, True))
    order = [splits.of(one) for one in summaries]
    assert order == sorted(order, key=["train", "reserve", "calibration", "test"].index)
    assert order.count("reserve") == 22
