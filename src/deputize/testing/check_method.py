"""Contract of training methods: what `deputize.stages.finetune.methods.base.Method` promises."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import msgspec

from deputize.core.artifacts import Curated, Discovered, Specialist, TaskProbe
from deputize.core.config import Convert, TeacherSettings
from deputize.core.errors import DeputizeError
from deputize.core.progress import silent
from deputize.core.records import Prediction, Request
from deputize.specialists.base import RawPrediction
from deputize.specialists.predictor import load, unload
from deputize.stages.finetune.examples import TrainingSet, training_set_of
from deputize.stages.finetune.methods.base import Method, TrainingContext, TrainingJob
from deputize.stages.finetune.package import package
from deputize.stages.finetune.run import jobs_of
from deputize.testing.check_predictor import check_predictor, check_same


def check_method(
    method: Method,
    curated: Curated,
    discovered: Discovered,
    folder: Path,
    *,
    models_dir: Path,
    base_model: str,
    budget_s: float = 60.0,
    teacher: TeacherSettings | None = None,
) -> None:
    """Checks that a training method keeps its promises on a task; it is trained three times.

    Args:
        method: reached through the registry by its name.
        curated: examples with their split.
        discovered: one task, which the method can be trained for.
        folder: an empty one, for specialists.
        models_dir: where base models lie.
        base_model: name of the base model.
        budget_s: seconds for one training.
        teacher: a server that scores what is written in training; None: there is none.

    Raises:
        AssertionError: names the promise that is broken.
    """
    assert method.name and method.name == method.name.strip(), "a method has a name"
    method.require()
    (task,) = discovered.tasks
    examples = training_set_of(curated, discovered.assignment, task)
    easy = TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.0)
    assert method.plan(task, easy).train, "a method is planned where no other can do the job"
    given = teacher or TeacherSettings()
    context = TrainingContext(Convert(), folder, models_dir, base_model, silent, time.monotonic, given)
    requests = [e.request for e in examples.validation_examples[:6]]
    first, raw = _train(method, examples, context, folder / "first", budget_s)
    loaded = load(folder / first.path, models_dir)
    try:
        check_predictor(loaded, requests)
        here = loaded.text_predictor.predict([x.text for x in examples.validation[:6]])
        assert [p.answer for p in here] == [p.answer for p in raw], (
            "what is loaded predicts as what was trained"
        )
        before = loaded.predict(requests)
        check_predictor(
            loaded, [Request(messages=[]), Request(messages=[{"role": "user", "content": "\x00 ?" * 9}])]
        )
    finally:
        unload(loaded)
    _check_determinism(method, examples, context, folder, budget_s, before, requests)
    _check_bad_input(method, examples, context, folder, budget_s)


def _train(
    method: Method, examples: TrainingSet, context: TrainingContext, out_dir: Path, budget_s: float
) -> tuple[Specialist, list[RawPrediction]]:
    """A packaged specialist, and what it predicted for validation before it was packaged."""
    (job,) = jobs_of(examples, [method.name], context, out_dir)
    trained, seconds = _timed(job, context, budget_s)
    try:
        raw = trained.predictor.predict([x.text for x in examples.validation[:6]])
        card = package(trained, job, context)
    finally:
        trained.release()
    assert seconds <= budget_s + max(5.0, 0.5 * budget_s), "the time budget is kept, but for a moment"
    assert card.method == method.name and card.cost == method.cost, "the card names the method and its cost"
    assert card.checksums, "there are weights on disk"
    text = msgspec.json.encode(card.settings).decode() + "".join(card.checksums)
    ids = [x.call_id for x in examples.train if x.call_id]
    assert not any(id in text for id in ids), "no call is named in what is stored"
    for path in filter(Path.is_file, (out_dir.parent / card.path).rglob("*")):
        data = path.read_bytes()
        assert not any(len(id) >= 4 and id.encode() in data for id in ids), f"no call is named in {path.name}"
    return card, raw


def _timed(job: TrainingJob, context: TrainingContext, budget_s: float):  # type: ignore[no-untyped-def]
    began = time.monotonic()
    trained = job.method.train(job, context, budget_s)
    assert trained is not None, "the method fits the task it is checked on"
    return trained, time.monotonic() - began


def _check_determinism(
    method: Method,
    examples: TrainingSet,
    context: TrainingContext,
    folder: Path,
    budget_s: float,
    before: list[Prediction],
    requests: list[Request],
) -> None:
    again, _ = _train(method, examples, context, folder / "again", budget_s)
    loaded = load(folder / again.path, context.models_dir)
    try:
        check_same(loaded.predict(requests), before, "another training with the same seed does not change")
    finally:
        unload(loaded)


def _check_bad_input(
    method: Method, examples: TrainingSet, context: TrainingContext, folder: Path, budget_s: float
) -> None:
    """Answers that break the contract: None or an error of deputize.core.errors, nothing else."""
    wrong = [replace(x, answer={"no": {"such": "field"}}) for x in examples.train]
    broken = replace(examples, train=wrong, repeats=[])
    (job,) = jobs_of(examples, [method.name], context, folder / "broken")
    try:
        trained = method.train(replace(job, examples=broken), context, budget_s)
    except DeputizeError:
        return
    if trained is not None:
        trained.release()
    assert trained is None, "answers that the task's schema cannot express are refused"
