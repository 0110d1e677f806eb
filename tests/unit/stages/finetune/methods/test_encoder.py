"""The encoder method: trained from the fitted head on, the best epoch kept, whole by itself."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tasks

from deputize.core.artifacts import TaskProbe
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.errors import MissingExtra
from deputize.core.progress import silent
from deputize.specialists import model_download
from deputize.specialists.closed_answers import closed
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.predictor import load
from deputize.specialists.state_heads import StateHeadPredictor
from deputize.specialists.text_encoder import TextEncoder
from deputize.stages.finetune.examples import TrainingExample, training_set_of
from deputize.stages.finetune.methods import encoder as module
from deputize.stages.finetune.methods.base import TrainingContext
from deputize.stages.finetune.methods.encoder import ENCODER, EncoderTraining
from deputize.stages.finetune.run import jobs_of, train

Tiny = tuple[Path, str]
WORDS = {"yes": "please refund my order today", "no": "thanks a lot for the help"}


@pytest.fixture(scope="module")
def context(tiny: Tiny, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingContext:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny[0], home / "models")
    model_download.add("tiny-encoder", tiny_base, home / "models")
    return TrainingContext(
        Convert(encoder="tiny-encoder"), home, home / "models", tiny[1], silent, time.monotonic
    )


def test_it_is_whole_by_itself_and_the_shared_encoder_stays_as_it_was(context: TrainingContext) -> None:
    curated, discovered = tiny_tasks.make(("closed",), 120)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    (job,) = jobs_of(examples, ["encoder"], context, context.home)
    shared = TextEncoder(context.models_dir / "tiny-encoder", "cpu")
    rows = shared.rows(["refund my order"], 64)
    before = shared.states(rows)
    card = train(job, context, 120.0)
    assert card is not None and card.kind == "states" and card.leak is not None and card.cost == 35
    history = card.settings["training"]["history"]
    assert [e["epoch"] for e in history] == [0, 1, 2, 3]
    loaded = load(context.home / card.path, Path("/nonexistent"))
    inner = loaded.text_predictor
    assert isinstance(inner, StateHeadPredictor) and isinstance(inner.model, TextEncoder)
    moved = not np.allclose(inner.model.states(rows), before)
    assert moved == (max(e["score"] for e in history[1:]) > history[0]["score"]), "the best epoch is kept"
    assert np.allclose(TextEncoder(context.models_dir / "tiny-encoder", "cpu").states(rows), before)


def of(answer: str, n: int) -> list[TrainingExample]:
    return [TrainingExample(f"{answer}{i}", WORDS[answer], answer, 1.0) for i in range(n)]


def test_training_moves_states_until_the_answers_are_told_apart(context: TrainingContext) -> None:
    answers = closed(learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"]))
    assert answers is not None
    encoder = TextEncoder(context.models_dir / "tiny-encoder", "cpu")
    heads = [(np.zeros((2, encoder.width), np.float32), np.zeros(2, np.float32))]
    training = EncoderTraining(encoder, heads, answers)
    examples = [*of("yes", 200), *of("no", 200)]
    training.run(examples, [], Deadline.after(None), context, "")
    found = StateHeadPredictor(encoder, training.heads(), answers, 64).predict(list(WORDS.values()))
    assert [p.answer for p in found] == ["yes", "no"] and training.n_tokens > 0
    assert not encoder.model.training and not any(p.requires_grad for p in encoder.model.parameters())


def test_an_epoch_that_is_worse_than_the_frozen_head_is_not_kept(
    context: TrainingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = closed(learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"]))
    assert answers is not None
    encoder = TextEncoder(context.models_dir / "tiny-encoder", "cpu")
    heads = [(np.ones((2, encoder.width), np.float32), np.zeros(2, np.float32))]
    training = EncoderTraining(encoder, heads, answers)
    scores = iter([0.5, 0.4, 0.3, 0.2])
    monkeypatch.setattr(training, "_score", lambda held: next(scores))
    rows = encoder.rows(["refund"], 64)
    before = encoder.states(rows)
    examples = [*of("yes", 40), *of("no", 40)]
    history = training.run(examples, examples[:9], Deadline.after(None), context, "")
    assert len(history) == 4 and np.allclose(encoder.states(rows), before)
    assert (training.heads()[0][0] == 1).all()


def test_no_step_is_begun_once_the_time_is_over(context: TrainingContext) -> None:
    answers = closed(learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"]))
    assert answers is not None
    encoder = TextEncoder(context.models_dir / "tiny-encoder", "cpu")
    heads = [(np.zeros((2, encoder.width), np.float32), np.zeros(2, np.float32))]
    training = EncoderTraining(encoder, heads, answers)
    training.run(of("yes", 99), of("no", 3), Deadline.after(0.0, context.clock), context, "")
    assert training.n_tokens == 0


def test_without_the_encoder_it_says_what_to_fetch(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    bare = TrainingContext(Convert(), tmp_path, tiny[0], tiny[1], silent, time.monotonic)
    with pytest.raises(MissingExtra, match="deputize models fetch all-MiniLM-L6-v2"):
        jobs_of(examples, ["encoder"], bare, tmp_path)


def test_it_is_not_planned_where_the_linear_method_is_enough() -> None:
    task = tiny_tasks.task("label")
    assert ENCODER.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.9)).train
    assert not ENCODER.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.99)).train


def test_rates_rise_then_fall() -> None:
    rates = [module._rate(done) for done in (0.0, 0.05, 0.1, 0.5, 0.99)]
    assert rates[0] == 0 and rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > 0
