"""The frozen method: a head on the states of the encoder where there is one, else of the base model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.core.artifacts import Leak, TaskProbe
from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.specialists import model_download
from deputize.specialists.predictor import load
from deputize.specialists.state_heads import Head
from deputize.specialists.text_encoder import TextEncoder
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.fit_heads import HeadExamples, fit_heads
from deputize.stages.finetune.methods import frozen
from deputize.stages.finetune.methods.base import Trained, TrainingContext
from deputize.stages.finetune.methods.frozen import FROZEN, FROZEN_BASE
from deputize.stages.finetune.run import jobs_of, train

Tiny = tuple[Path, str]


def context_of(tiny: Tiny, home: Path, **settings: object) -> TrainingContext:
    return TrainingContext(Convert(**settings), home, tiny[0], tiny[1], silent, time.monotonic)


def trained(kind: str, context: TrainingContext, n: int = 60) -> Trained | None:
    curated, discovered = tiny_tasks.make((kind,), n)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    (job,) = jobs_of(examples, ["frozen"], context, context.home)
    return FROZEN.train(job, context, 60.0)


def test_closed_answers_get_heads_tested_for_leaks_and_others_do_not_fit(tiny: Tiny, tmp_path: Path) -> None:
    context = context_of(tiny, tmp_path)
    found = trained("closed", context)
    assert found is not None and found.kind == "states" and found.model == tiny[1] and not found.is_fast
    assert found.leak is not None and found.base_sha256 and (found.tokens_per_s or 0) > 0
    assert found.hyperparameters["n_read"] == 36, "train only"
    assert trained("values", context) is None and trained("line", context) is None


def test_states_are_kept_for_the_next_method_of_the_run(tiny: Tiny, tmp_path: Path) -> None:
    context = context_of(tiny, tmp_path)
    one, two = trained("label", context), trained("label", context)
    assert one is not None and two is not None and (one.tokens_per_s or 0) > 0 and two.tokens_per_s == 0


def test_a_fetched_encoder_is_read_instead_of_the_base_model(
    tiny: Tiny, tiny_base: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny[0], models)
    model_download.add("tiny-encoder", tiny_base, models)
    context = context_of((models, tiny[1]), tmp_path, encoder="tiny-encoder")
    assert FROZEN.base_model(context) == "tiny-encoder"
    assert FROZEN.base_model(context_of(tiny, tmp_path, encoder="tiny-encoder")) == tiny[1]
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    (job,) = jobs_of(examples, ["frozen"], context, tmp_path)
    card = train(job, context, 60.0)
    assert card is not None and card.model == "tiny-encoder"
    loaded = load(tmp_path / card.path, models)
    assert isinstance(loaded.text_predictor.model, TextEncoder)  # type: ignore[attr-defined]


def test_the_base_model_is_read_beside_the_encoder_and_never_twice(
    tiny: Tiny, tiny_base: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny[0], models)
    model_download.add("tiny-encoder", tiny_base, models)
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])

    def read(folder: Path, **settings: object) -> str | None:
        context = context_of((folder, tiny[1]), tmp_path, encoder="tiny-encoder", **settings)
        (job,) = jobs_of(examples, ["frozen_base"], context, tmp_path)
        found = FROZEN_BASE.train(job, context, 60.0)
        return found.model if found is not None else None

    assert read(models) == tiny[1]
    assert read(tiny[0]) is None, "without an encoder the method frozen reads it already"
    assert read(tiny[0], methods=("linear", "frozen_base")) == tiny[1]


def test_the_clock_changes_neither_confidence_nor_detector(tiny: Tiny, tmp_path: Path) -> None:
    """How many validation calls they were fitted on was a matter of time: the detector's threshold differed between
    two runs."""
    curated, discovered = tiny_tasks.make(("label",), 200)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = context_of(tiny, tmp_path)
    (job,) = jobs_of(examples, ["frozen"], context, tmp_path)
    cards = []
    for at, budget_s in enumerate((1e-3, 600.0)):
        card = train(replace(job, folder=tmp_path / f"s{at}"), context, budget_s)
        assert card is not None and card.settings["training"]["n_read"] == 120, (
            "the first chunk is always read"
        )
        cards.append(card)
    hurried, calm = cards
    assert hurried.ood_detector is not None and hurried.ood_detector == calm.ood_detector
    assert hurried.settings == calm.settings and hurried.checksums == calm.checksums
    assert (hurried.validation_accuracy, hurried.validation_coverage) == (
        calm.validation_accuracy,
        calm.validation_coverage,
    )


def test_a_head_that_gives_secrets_away_is_fitted_again_with_more_care(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strengths: list[float] = []

    def fit(examples: HeadExamples, sizes: Sequence[int], strength: float) -> list[Head]:
        strengths.append(strength)
        return fit_heads(examples, sizes, strength)

    monkeypatch.setattr(frozen, "fit_heads", fit)
    leaks = iter([True, False])
    leak = Leak(
        leaks=True,
        reason="",
        n_planted=1,
        n_extracted=0,
        n_exposed=0,
        limit_bits=6.0,
        p_exposed=1.0,
        p_memorised=1.0,
        mean_exposure=0.0,
        max_exposure=0.0,
    )
    monkeypatch.setattr(frozen, "_leak", lambda *given: leak if next(leaks) else None)
    found = trained("label", context_of(tiny, tmp_path))
    assert found is not None and found.leak is None
    assert len(strengths) == 2 and strengths[1] == pytest.approx(frozen.CAREFUL * strengths[0])
    assert found.hyperparameters["strength"] == strengths[1]


def test_where_time_is_short_a_part_of_train_is_read(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curated, discovered = tiny_tasks.make(("label",), 500)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = context_of(tiny, tmp_path)
    (job,) = jobs_of(examples, ["frozen"], context, tmp_path)
    found = FROZEN.train(job, context, 0.0)
    assert found is not None and 0 < found.hyperparameters["n_read"] < len(examples.train)


def test_it_is_not_planned_where_the_linear_method_is_enough() -> None:
    task = tiny_tasks.task("label")
    assert FROZEN.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.9)).train
    assert not FROZEN.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.99)).train
