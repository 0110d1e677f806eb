"""Cascades of trained specialists: made of their folders, whole by themselves, the same when loaded."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests import tiny_tasks

from deputize.core.artifacts import Candidate, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.errors import UsageError
from deputize.core.progress import silent
from deputize.scoring.leak import LEVEL, expose, judge, level_of_further
from deputize.specialists import model_download
from deputize.specialists.base import ClosedScores
from deputize.specialists.cascade import (
    NEVER_SURE,
    CascadePredictor,
    CascadeSettings,
    CascadeStep,
    default_weights,
)
from deputize.specialists.export_forms.registry import export_form
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import settings_of
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune import run as stage
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods import cascade_method
from deputize.stages.finetune.methods.base import (
    CrossFittedAnswers,
    Trained,
    TrainingContext,
    TrainingJob,
)
from deputize.stages.finetune.methods.cascade_method import CascadeMethod
from deputize.stages.finetune.methods.registry import find_method
from deputize.testing import check_predictor

Tiny = tuple[Path, str]


@pytest.fixture(scope="module")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finetuned]:
    home = tmp_path_factory.mktemp("home")
    return home, tiny_tasks.train(home, *tiny, ("closed", "action"), ("linear", "frozen"), n=400)


def test_closed_tasks_get_one_and_others_do_not(trained: tuple[Path, Finetuned]) -> None:
    found = {(s.task_id, s.method): s for s in trained[1].specialists}
    assert set(found) == {
        ("closed", "linear"),
        ("closed", "linear+frozen"),
        ("closed", "frozen"),
        ("action", "linear"),
        ("action", "frozen"),
    }
    made = found["closed", "linear+frozen"]
    assert made.kind == "cascade" and not made.is_fast and made.leak is not None
    assert found["closed", "linear"].cost < made.cost < found["closed", "frozen"].cost
    assert made.model == "tf-idf + linear classifier, then tiny-random"
    assert made.settings["training"]["n_fit"] == 80, "validation only"
    assert set(made.trained_on) == set(found["closed", "frozen"].trained_on)


def test_it_is_whole_without_its_members_folders_and_answers_early_as_it_answers(
    trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path
) -> None:
    home, finetuned = trained
    (made,) = [s for s in finetuned.specialists if s.method == "linear+frozen"]
    alone = tmp_path / "alone"
    shutil.copytree(home / made.path, alone)
    assert not list(alone.glob("*/out_of_distribution.npz")), "the cascade has one of its own"
    requests = [tiny_tasks.example("closed", i, "test").request for i in range(400, 440)]
    whole, only_early = load(alone, tiny[0]), load(alone, tiny[0], only_early=True)
    check_predictor(whole, requests[:6])
    predictions, early = whole.predict(requests), only_early.predict_early(requests)
    same = [
        one is None or (one.answer, one.confidence) == (two.answer, two.confidence)
        for one, two in zip(early, predictions, strict=True)
    ]
    assert all(same) and any(one is not None for one in early)
    assert whole.predict_early(requests) and isinstance(whole, SpecialistPredictor)
    unload(whole)


def joining(
    home: Path, tiny: Tiny, members: Finetuned, clock_s: float = 0.0, **settings: object
) -> tuple[CascadeMethod, TrainingJob, TrainingContext]:
    """A cascade of the trained specialists of "closed", with a clock that goes on by so much at every look."""
    curated, discovered = tiny_tasks.make(("closed",), 400)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    ticks = itertools.count()
    context = TrainingContext(
        Convert(**settings), home, tiny[0], tiny[1], silent, lambda: clock_s * next(ticks)
    )
    (job,) = stage.jobs_of(examples, ["frozen"], context, home)
    method = CascadeMethod([s for s in members.specialists if s.task_id == "closed" and s.kind != "cascade"])
    return method, replace(job, method=method), context


def test_what_is_cross_fitted_is_softened_as_the_leak_test_asked(
    trained: tuple[Path, Finetuned], tiny: Tiny
) -> None:
    """With the weights as fitted the certificate would be of another cascade than the one that serves."""
    method, job, context = joining(trained[0], tiny, trained[1])
    made, members = method.train(job, context, 10_000.0), cascade_method._loaded(method.members, context)
    assert made is not None and members is not None
    for specialist, member in zip(method.members, members, strict=True):
        scores = member.scores([x.text for x in job.examples.validation])
        context.answers[specialist.id] = CrossFittedAnswers([], None, scores)

    def log_ps(factors: list[float]) -> list[float]:
        method.factors = factors
        return [one.raw_confidence.log_p for one in method.cross_fit(job, context, made).predictions]

    fitted, softened = log_ps([1.0, 1.0]), log_ps([1.0, 0.0])
    assert len(fitted) == len(softened) == len(job.examples.validation)
    assert fitted != softened


def test_the_clock_says_whether_there_is_a_cascade_and_not_which(
    trained: tuple[Path, Finetuned], tiny: Tiny
) -> None:
    """Fitted on as much as there was time for, it was another one in each run, and so was the threshold of its
    detector."""

    def made(budget_s: float) -> tuple[Trained | None, str]:
        method, job, context = joining(trained[0], tiny, trained[1], clock_s=1.0)
        return method.train(job, context, budget_s), method.why_not

    (much, _), (enough, _) = made(10_000.0), made(100.0)
    assert much is not None and enough is not None
    assert much.hyperparameters == enough.hyperparameters and much.hyperparameters["n_fit"] == 80
    assert enough.validation_s == float("inf"), "nor is its confidence calibrated on a part of validation"
    none, why = made(10.0)
    assert none is None and why == "not made: no time was left to read validation with all members"


def test_a_leak_test_that_could_not_look_for_every_secret_makes_none(
    trained: tuple[Path, Finetuned], tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, job, context = joining(trained[0], tiny, trained[1])
    monkeypatch.setattr(cascade_method, "LEAK_SHARE", 0.0)
    assert method.train(job, context, 1e6) is None
    assert method.why_not == "not made: no time was left for its leak test"


def test_a_member_that_leaks_makes_none(trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path) -> None:
    finetuned = trained[1]
    linear, _, frozen = (s for s in finetuned.specialists if s.task_id == "closed")
    assert linear.leak is not None and frozen.leak is not None
    leaky = msgspec.structs.replace(frozen, leak=msgspec.structs.replace(frozen.leak, leaks=True))
    _, job, context = joining(tmp_path, tiny, finetuned)
    assert stage.cascades(leaky, job, [linear], {}, context, Deadline.after(9)) == []
    assert stage.cascades(frozen, job, [leaky], {}, context, Deadline.after(9)) == [], "there is no fast one"


@pytest.fixture(scope="module")
def three(
    tiny: Tiny, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Tiny, Finetuned]:
    """Linear, a head on an encoder and one on the base model, trained on the same examples; no cascade yet."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny[0], models, dirs_exist_ok=True)
    model_download.add("tiny-encoder", tiny_base, models)
    home = tmp_path_factory.mktemp("home of three")
    curated, discovered = tiny_tasks.make(("closed",), 400)
    plan = {"closed": ["linear", "frozen", "frozen_base"]}
    found = stage.run(
        curated,
        discovered,
        Selected(candidates={}, plan=plan, base_model=tiny[1]),
        Convert(encoder="tiny-encoder", cascades=False, explore=True),
        home=home,
        out_dir=home / "specialists",
        models_dir=models,
        deadline=Deadline.after(300),
        progress=silent,
    )
    return home, (models, tiny[1]), found


def test_a_third_member_has_to_add_something_on_validation(
    three: tuple[Path, Tiny, Finetuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, tiny, found = three
    method, job, context = joining(home, tiny, found)
    assert method.name == "linear+frozen+frozen_base"
    assert method.train(job, context, 1e6) is None
    assert (
        method.why_not.startswith("not made: it could serve ") and "without its last member" in method.why_not
    )
    not_needed: dict[str, list[Candidate]] = {}
    monkeypatch.setattr(stage, "LEAST_GAIN", -1.0)  # the pair serves all of it already
    linear, frozen, base = found.specialists
    made = stage.cascades(frozen, job, [linear], not_needed, context, Deadline.after(None))
    assert [s.method for s in made] == ["linear+frozen"] and not not_needed
    more = stage.cascades(base, job, [linear, frozen, *made], not_needed, context, Deadline.after(None))
    assert [s.method for s in more] == ["linear+frozen_base"]
    assert [(c.model, c.note) for c in not_needed["closed"]] == [(method.name, method.why_not)]


def test_three_members_are_one_specialist(
    three: tuple[Path, Tiny, Finetuned], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, tiny, found = three
    monkeypatch.setattr(cascade_method, "LEAST_GAIN", -1.0)
    _, job, context = joining(home, tiny, found)
    card = stage.train(replace(job, folder=home / "specialists" / "three"), context, 1e6)
    assert card is not None and card.kind == "cascade" and card.leak is not None and not card.leak.leaks
    assert card.model == "tf-idf + linear classifier, then tiny-encoder, then tiny-random"
    assert len(card.settings["training"]["steps"]) == 3 and card.cost < find_method("frozen_base").cost
    alone = tmp_path / "alone"
    shutil.copytree(home / card.path, alone)
    requests = [tiny_tasks.example("closed", i, "test").request for i in range(400, 440)]
    whole, only_early = load(alone, tiny[0]), load(alone, tiny[0], only_early=True)
    check_predictor(whole, requests[:6])
    assert isinstance(whole.text_predictor, CascadePredictor) and len(whole.text_predictor.members) == 3
    early = only_early.predict_early(requests)
    assert any(one is not None for one in early)
    for one, two in zip(early, whole.predict(requests), strict=True):
        assert one is None or (one.answer, one.confidence) == (two.answer, two.confidence)
    stored = StoredSpecialist(alone, card, settings_of(card), tiny[0])
    with pytest.raises(
        UsageError, match=r"a cascade is several specialists .* and no form holds them together"
    ):
        export_form("onnx", stored)
    unload(whole)


def test_some_members_that_give_a_secret_away_together_do_not_decide_without_the_others(
    three: tuple[Path, Tiny, Finetuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own cascade may be sound because one of them was softened; here they decide with the weights as fitted."""
    home, tiny, found = three
    method, job, context = joining(home, tiny, found)
    members = cascade_method._loaded(method.members, context)
    assert members is not None
    some, scores = method._scored(members, job, context, 1e6)
    exits = [-0.01, -0.02, NEVER_SURE]
    steps = [CascadeStep(weights=default_weights(n + 1), exit_log_p=exits[n]) for n in range(3)]

    def kept(*least_bits: float) -> list[float]:
        """Exits, where all together and the first two have to leave so many bits."""
        bars = iter(least_bits)
        monkeypatch.setattr(planted_secrets, "judge", lambda *a, **k: judge(*a, **k, least_bits=next(bars)))
        until, settings = Deadline.after(None), CascadeSettings(steps=steps)
        made = method._keeping_secrets(members, scores or [], some, settings, job, context, until)
        assert made is not None and made[1] is not None and not made[1].leaks
        assert [step.weights for step in made[0].steps] == [step.weights for step in steps]
        return [step.exit_log_p for step in made[0].steps]

    assert kept(20.0, 20.0) == exits
    assert kept(20.0, 29.8) == [exits[0], NEVER_SURE, NEVER_SURE] and method.silent == {1}


def test_they_can_be_switched_off(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    selected = Selected(candidates={}, plan={"label": ["linear", "frozen"]}, base_model=tiny[1])
    found = stage.run(
        curated,
        discovered,
        selected,
        Convert(cascades=False),
        home=tmp_path,
        out_dir=tmp_path / "specialists",
        models_dir=tiny[0],
        deadline=Deadline.after(60),
        progress=silent,
    )
    assert [s.method for s in found.specialists] == ["linear", "frozen"]


def test_one_that_gives_a_secret_away_hears_a_member_less(
    trained: tuple[Path, Finetuned], tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each keeps the secrets by itself; together they do where one of them counts for less."""
    method, job, context = joining(trained[0], tiny, trained[1])
    whole = method.train(job, context, 1e6)
    assert whole is not None and whole.leak is not None and whole.leak.bits_remaining is not None
    assert method.factors == [1.0, 1.0]
    asked = whole.leak.bits_remaining + 0.01  # more than the fitted weights leave
    monkeypatch.setattr(planted_secrets, "judge", functools.partial(judge, least_bits=asked))
    levels = list[float]()

    def noted(*args: Any, level: float, **kwargs: Any) -> Any:
        levels.append(level)
        return expose(*args, level=level, **kwargs)

    monkeypatch.setattr(planted_secrets, "expose", noted)
    softer = method.train(job, context, 1e6)
    assert softer is not None and softer.leak is not None and not softer.leak.leaks
    assert softer.leak.bits_remaining is not None and softer.leak.bits_remaining >= asked
    assert sorted(method.factors) in ([0.5, 1.0], [0.25, 1.0])
    n = whole.leak.n_planted
    assert {*levels[:n]} == {LEVEL} and {*levels[n:]} == {level_of_further(4)}, "four further chances"
    before, after = (made.hyperparameters["steps"] for made in (whole, softer))
    assert after[0] == before[0], "the first alone has been tested as it is"
    weights = [w * f for w, f in zip(before[1]["weights"], method.factors, strict=True)]
    assert after[1]["weights"] == pytest.approx(weights)
    monkeypatch.setattr(planted_secrets, "judge", functools.partial(judge, least_bits=29.8))
    none = method.train(job, context, 1e6)
    assert none is not None and none.leak is not None and none.leak.leaks


def test_a_member_reads_each_text_once(trained: tuple[Path, Finetuned], tiny: Tiny) -> None:
    (card,) = [s for s in trained[1].specialists if s.method == "linear" and s.task_id == "closed"]
    method, _, context = joining(trained[0], tiny, trained[1])
    members = cascade_method._loaded(method.members, context)
    assert members is not None and card.id == method.members[0].id
    member, asked = members[0], list[str]()

    class Counted:
        answers = member.answers
        predict = member.predict

        def scores(self, texts: Sequence[str]) -> ClosedScores:
            asked.extend(texts)
            return member.scores(texts)

    one = cascade_method.RememberedScores(Counted())
    first, again = one.scores(["a b", "c", "a b"]), one.scores(["c", "d", "a b"])
    assert asked == ["a b", "c", "d"]
    straight = member.scores(["a b", "c", "a b", "c", "d", "a b"])
    for q, log_p_NC in enumerate(straight.log_ps):
        np.testing.assert_allclose(np.concatenate([first.log_ps[q], again.log_ps[q]]), log_p_NC, rtol=1e-6)
