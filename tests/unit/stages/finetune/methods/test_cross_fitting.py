"""Cross-fitting on train: no call is answered by a model that has seen its group, and nothing of these models stays."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests import tiny_tasks
from tests.other_processes import OtherProcesses

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.config import CROSS_FITTED, Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Task
from deputize.runner.base import Runner
from deputize.specialists.base import ClosedPredictor, TextPredictor
from deputize.specialists.confidence import ConfidenceCalibration
from deputize.specialists.predictor import load
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import (
    CrossFits,
    NoteReading,
    Trained,
    TrainingContext,
    TrainingJob,
    not_noted,
)
from deputize.stages.finetune.methods.cross_fitting import N_FOLDS, cross_fit, folds_of, recorded
from deputize.stages.finetune.methods.registry import AUTO, OURS
from deputize.stages.finetune.run import jobs_of
from deputize.stages.finetune.run import run as finetune

Tiny = tuple[Path, str]


def with_reserve(kinds: tuple[str, ...], n: int) -> tuple[Curated, Discovered]:
    """Tiny tasks whose validation is kept in reserve; every two calls are a group."""
    curated, discovered = tiny_tasks.make(kinds, n)
    examples = [
        msgspec.structs.replace(
            e,
            split="reserve" if e.split == "validation" else e.split,
            group=f"g{i // 2 if e.split == 'train' else i}",
        )
        for i, e in enumerate(curated.examples)
    ]
    return msgspec.structs.replace(curated, examples=examples), discovered


def job_of(kind: str, method: str, home: Path, n: int = 200) -> tuple[TrainingJob, TrainingContext]:
    curated, discovered = with_reserve((kind,), n)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = TrainingContext(Convert(), home, home, "", silent, time.monotonic)
    (job,) = jobs_of(examples, [method], context, home)
    return job, context


def trained(
    home: Path,
    tiny: Tiny,
    kinds: tuple[str, ...],
    methods: tuple[str, ...],
    n: int = 400,
    *,
    more: dict[str, list[str]] | None = None,
    runner: Runner | None = None,
    note_reading: NoteReading = not_noted,
    read_before: tuple[str, ...] = (),
) -> tuple[Finetuned, Curated]:
    curated, discovered = with_reserve(kinds, n)
    plan = {k: [*methods, *(more or {}).get(k, [])] for k in kinds}
    selected = Selected(candidates={}, plan=plan, base_model=tiny[1])
    found = finetune(
        curated,
        discovered,
        selected,
        Convert(methods=methods, explore=True),
        home=home,
        out_dir=home / "specialists",
        models_dir=tiny[0],
        deadline=Deadline.after(300.0),
        progress=silent,
        runner=runner,
        note_reading=note_reading,
        read_before=read_before,
    )
    return found, curated


def test_settings_know_which_methods_can_be_cross_fitted() -> None:
    """Curation has to know before any method is loaded, and stages do not import each other."""
    assert {m.name for m in OURS if isinstance(m, CrossFits)} | {AUTO} == CROSS_FITTED


def test_no_call_is_answered_by_a_model_that_has_seen_its_group(tmp_path: Path) -> None:
    job, context = job_of("label", "linear", tmp_path)
    method, seen = job.method, list[tuple[set[str], list[str]]]()
    whole = method.train(job, context, 60.0)
    assert whole is not None and isinstance(method, CrossFits)

    class Spied:
        def __init__(self, inner: TextPredictor, groups: set[str]) -> None:
            self.inner, self.groups = inner, groups

        def predict(self, texts: list[str]) -> object:
            seen.append((self.groups, list(texts)))
            return self.inner.predict(texts)

    def refit(part: TrainingJob, context: TrainingContext, given: Trained) -> Spied:
        assert part.examples.validation == [] and given is whole
        inner = method.refit(part, context, given)  # type: ignore[attr-defined]
        return Spied(inner, {x.group for x in part.examples.train})

    answers = cross_fit(job, refit, context, whole)  # type: ignore[arg-type]
    assert len(seen) == N_FOLDS and answers.scores is None
    group_of = {x.text: x.group for x in job.examples.validation}
    for groups, texts in seen:
        assert texts and not groups & {group_of[text] for text in texts}
    assert sum(len(texts) for _, texts in seen) == len(job.examples.validation) == len(answers.predictions)
    fold_N = folds_of(job.examples)
    assert all(
        len({f for f, x in zip(fold_N, job.examples.validation, strict=True) if x.group == g}) == 1
        for g in group_of.values()
    )


@pytest.mark.parametrize("kind", ["label", "action"])
def test_the_answers_are_in_order_and_what_a_refit_says(kind: str, tmp_path: Path) -> None:
    job, context = job_of(kind, "linear", tmp_path)
    whole = job.method.train(job, context, 60.0)
    assert whole is not None and isinstance(job.method, CrossFits)
    answers = job.method.cross_fit(job, context, whole)
    fold_N, rows = folds_of(job.examples), job.examples.validation
    rest = [
        x
        for x in job.examples.train
        if x.group not in {r.group for r, f in zip(rows, fold_N, strict=True) if f == 2}
    ]
    part = replace(job, examples=replace(job.examples, train=rest))
    again = job.method.refit(part, context, whole)  # type: ignore[attr-defined]
    held = np.flatnonzero(fold_N == 2)
    said_to = [rows[i].text for i in held]
    said = again.predict(said_to)
    assert [answers.predictions[i] for i in held] == said
    if kind == "label":
        few = [x for x in rest if x.answer == "yes"]
        only = job.method.refit(replace(job, examples=replace(job.examples, train=few)), context, whole)  # type: ignore[attr-defined]
        assert only is None or {p.answer for p in only.predict(said_to)} == {"yes"}, "it knows its part alone"
        assert isinstance(again, ClosedPredictor) and answers.scores is not None
        assert np.allclose(
            answers.scores.log_ps[0][held], again.scores([rows[i].text for i in held]).log_ps[0]
        )


def test_what_is_recorded_is_what_would_be_served_and_holds_no_text(tmp_path: Path) -> None:
    job, context = job_of("action", "linear", tmp_path)
    whole = job.method.train(job, context, 60.0)
    assert whole is not None and isinstance(job.method, CrossFits)
    answers = job.method.cross_fit(job, context, whole)
    rows, contract = job.examples.validation, job.task.contract
    p_values = [0.001] * 3 + [1.0] * (len(rows) - 3)
    found = recorded(replace(answers, p_values=p_values), rows, contract, ConfidenceCalibration(), 0.01)
    assert found.call_ids == [x.call_id for x in rows]
    assert found.confidence[:3] == [0.0] * 3 and found.unlike == [True] * 3 + [False] * (len(rows) - 3)
    deferred = [
        c
        for c, p in zip(found.confidence, answers.predictions, strict=True)
        if p.answer == "defer" or p.answer is None
    ]
    assert all(c == 0 for c in deferred) and any(c > 0 for c in found.confidence)
    assert b"LH-" not in msgspec.json.encode(found) and sum(found.right) <= sum(found.right_action)


def test_the_reserve_is_read_by_methods_that_tune_a_base_model_alone(tiny: Tiny, tmp_path: Path) -> None:
    found, curated = trained(tmp_path, tiny, ("label", "closed"), ("linear",), n=100)
    assert found.unread_reserve == ["label", "closed"]
    train_ids = {e.call_id for e in curated.examples if e.split == "train"}
    for specialist in found.specialists:
        answers = found.cross_fitted[specialist.id]
        assert set(answers.call_ids) <= train_ids and len(answers.call_ids) == specialist.n_train == 60
        assert specialist.validation_accuracy == pytest.approx(np.mean(answers.right))
        # what is shipped was fitted on all of train, and tested for leaks itself
        assert specialist.leak is not None and set(specialist.trained_on) == set(answers.call_ids)
        assert {p.name for p in (tmp_path / specialist.path).iterdir()} <= {
            "linear.npz",
            "specialist.json",
            "out_of_distribution.npz",
        }
    reserve = [e for e in curated.examples if e.split == "reserve"]
    other = [
        msgspec.structs.replace(e, response={"role": "assistant", "content": "no such answer"})
        if e in reserve
        else e
        for e in curated.examples
    ]
    examples = training_set_of(
        msgspec.structs.replace(curated, examples=other),
        {e.call_id: e.site for e in other},
        tiny_tasks.task("label"),
    )
    before = training_set_of(curated, {e.call_id: e.site for e in other}, tiny_tasks.task("label"))
    assert (examples.train, examples.validation, examples.other_task_prompts) == (
        before.train,
        before.validation,
        before.other_task_prompts,
    )
    assert examples.with_reserve().validation == [] and len(before.with_reserve().validation) == 20


def test_a_reserve_that_a_method_has_read_is_not_calibrated_on_wherever_it_was_trained(
    tiny: Tiny, tmp_path: Path
) -> None:
    runner = OtherProcesses()
    noted = list[tuple[str, bool]]()

    def note(task: Task) -> None:
        noted.append((task.id, any((tmp_path / "specialists").glob("*-lora*"))))

    found, _ = trained(
        tmp_path,
        tiny,
        ("label", "action"),
        ("linear",),
        60,
        more={"label": ["lora"]},
        runner=runner,
        note_reading=note,
    )
    assert runner.n_started == 1 and found.cross_fitted.keys() >= {"label-linear", "action-linear"}
    assert found.unread_reserve == ["action"]
    assert noted == [("label", False)], "written down before it is read, and once"


class Unwritten(Exception):
    """The ledger could not be written."""


def test_a_reserve_is_not_read_where_that_cannot_be_written_down(tiny: Tiny, tmp_path: Path) -> None:
    def note(task: Task) -> None:
        raise Unwritten(task.id)

    found, _ = trained(tmp_path, tiny, ("label",), ("linear",), 60, note_reading=note)
    assert found.unread_reserve == ["label"], "nothing of it is read by methods that are cross-fitted"
    with pytest.raises(Unwritten, match="label"):
        trained(tmp_path / "more", tiny, ("label",), ("linear", "lora"), 60, note_reading=note)
    assert not list((tmp_path / "more" / "specialists").glob("*-lora*"))


def test_what_a_run_has_read_before_it_was_stopped_stays_validation(tiny: Tiny, tmp_path: Path) -> None:
    noted = list[Task]()
    found, _ = trained(
        tmp_path,
        tiny,
        ("label", "action"),
        ("linear",),
        60,
        note_reading=noted.append,
        read_before=("label",),
    )
    assert found.unread_reserve == ["action"] and noted == []


@pytest.mark.slow
def test_a_cascade_is_fitted_on_cross_fitted_scores_and_lora_takes_the_reserve(
    tiny: Tiny, tmp_path: Path
) -> None:
    found, _ = trained(tmp_path, tiny, ("closed",), ("linear", "frozen"))
    by_method = {s.method: s for s in found.specialists}
    assert set(by_method) == {"linear", "frozen", "linear+frozen"} and found.unread_reserve == ["closed"]
    assert by_method["linear+frozen"].settings["training"]["n_fit"] == 240, "all of train"
    assert len(found.cross_fitted[by_method["linear+frozen"].id].call_ids) == 240
    answers = load(tmp_path / by_method["linear+frozen"].path, tiny[0]).predict(
        [tiny_tasks.example("closed", 9, "test").request]
    )
    assert answers[0].answer is not None
    more, _ = trained(tmp_path / "tuned", tiny, ("closed",), ("linear", "lora"), n=100)
    assert more.unread_reserve == [] and "closed-linear" in more.cross_fitted
    assert "closed-lora" not in more.cross_fitted


def test_a_second_start_answers_train_again_and_makes_the_same_specialist(tiny: Tiny, tmp_path: Path) -> None:
    first, _ = trained(tmp_path, tiny, ("label",), ("linear",), n=100)
    again, _ = trained(tmp_path, tiny, ("label",), ("linear",), n=100)
    assert again.cross_fitted == first.cross_fitted and again.unread_reserve == first.unread_reserve
    assert again.specialists[0].checksums == first.specialists[0].checksums
