"""The linear method: fitted without a language model, again with more care where it leaks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_tasks

from deputize.core.artifacts import TaskProbe
from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.specialists import linear_model
from deputize.specialists.linear_model import LinearModel
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import Trained, TrainingContext
from deputize.stages.finetune.methods.linear import LINEAR
from deputize.stages.finetune.run import jobs_of


def train(kind: str, home: Path) -> Trained | None:
    curated, discovered = tiny_tasks.make((kind,), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = TrainingContext(Convert(), home, home, "", silent, time.monotonic)
    (job,) = jobs_of(examples, ["linear"], context, home)
    return LINEAR.train(job, context, 10.0)


def test_it_is_fast_tested_for_leaks_and_saves_what_predicts(tmp_path: Path) -> None:
    trained = train("label", tmp_path)
    assert trained is not None and trained.is_fast and trained.kind == "linear"
    assert trained.leak is not None and not trained.leak.leaks and trained.base_sha256 == ""
    trained.save(tmp_path)
    assert len(LinearModel.load(tmp_path / "linear.npz").weights) == 1


def test_values_are_copied_where_there_are_any_and_other_answers_do_not_fit(tmp_path: Path) -> None:
    trained = train("action", tmp_path)
    assert trained is not None and trained.kind == "pointer" and "copied" in trained.model
    assert train("values", tmp_path) is None


def test_it_is_planned_wherever_it_fits() -> None:
    task = tiny_tasks.task("label")
    assert LINEAR.plan(task, TaskProbe(epsilon=0.02, linear_fits=True)).train
    assert not LINEAR.plan(task, TaskProbe(epsilon=0.02, linear_fits=False)).train
    LINEAR.require()


def test_settings_that_selection_has_chosen_are_not_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them every setting of small tasks is cross-validated; with them the model is fitted once, to the same
    effect."""
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = TrainingContext(Convert(), tmp_path, tmp_path, "", silent, time.monotonic)
    n_fits = 0
    fit = linear_model._fit

    def counted(*given: Any) -> LinearModel:
        nonlocal n_fits
        n_fits += 1
        return fit(*given)

    monkeypatch.setattr(linear_model, "_fit", counted)
    (job,) = jobs_of(examples, ["linear"], context, tmp_path)
    chosen = LINEAR.train(job, context, 10.0)
    assert chosen is not None and n_fits > 5
    settings = chosen.predictor.model.variant  # type: ignore[attr-defined]
    n_fits = 0
    (again,) = jobs_of(examples, ["linear"], context, tmp_path, tuple(settings))
    assert again.fingerprint != job.fingerprint
    trained = LINEAR.train(again, context, 10.0)
    assert trained is not None and n_fits == 1
    assert trained.predictor.model.variant == settings  # type: ignore[attr-defined]
