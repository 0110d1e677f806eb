"""On-policy distillation: its divergence on cases made by hand, steps that bring the specialist to its teacher, and
what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests import teacher_servers, tiny_model
from tests.unit.stages.finetune.methods.test_fine_tuning import job

from deputize.core.config import TeacherSettings
from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.encode import EncodedExample, encode_for_decoder
from deputize.stages.finetune.hidden_states import states_of
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.on_policy_distillation import (
    ON_POLICY_DISTILLATION,
    OwnAnswerLoss,
    divergence,
    teacher_shares,
)
from deputize.stages.finetune.trainer import TrainingSettings, adapter_settings, answer_loss

Tiny = tuple[Path, str]


def test_the_divergence_is_none_at_the_teacher_and_symmetric_in_the_middle() -> None:
    import torch

    p, q = torch.tensor([0.7, 0.3, 0.0]), torch.tensor([0.2, 0.3, 0.5])
    assert float(divergence(p, p, 0.5)) == pytest.approx(0.0, abs=1e-7)
    assert float(divergence(p, q, 0.5)) == pytest.approx(float(divergence(q, p, 0.5)))
    m = [0.3 * a + 0.7 * b for a, b in zip(p.tolist(), q.tolist(), strict=True)]
    of_p = sum(a * math.log(a / c) for a, c in zip(p.tolist(), m, strict=True) if a)
    of_q = sum(b * math.log(b / c) for b, c in zip(q.tolist(), m, strict=True) if b)
    assert float(divergence(p, q, 0.3)) == pytest.approx(0.3 * of_p + 0.7 * of_q, rel=1e-5)


def test_what_a_server_lists_is_taken_with_the_rest_as_one_outcome() -> None:
    listed = {5: math.log(0.6), 9: math.log(0.3)}
    assert teacher_shares(listed, None) == pytest.approx([0.6, 0.3, 0.1])
    assert teacher_shares(listed, [9, 5]) == pytest.approx([1 / 3, 2 / 3])
    # a choice that is not listed is no likelier than the rest
    assert teacher_shares(listed, [5, 7]) == pytest.approx([0.6 / 0.7, 0.1 / 0.7])
    assert teacher_shares(listed, [7, 8]) is None and teacher_shares({}, None) is None


def with_teacher(
    tiny: Tiny, home: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 0, **more: object
) -> tuple[TrainingJob, TrainingContext]:
    """A job whose teacher is the tiny model of a seed: of 0 the student itself, untuned."""
    made, context = job(tiny, home)
    model = LanguageModel(tiny_model.make(home / "teacher", seed=seed), "cpu", "fp32")
    return made, replace(context, teacher=teacher_servers.serve(model, home, monkeypatch, **more))


def loss_of(
    tiny: Tiny, made: TrainingJob, context: TrainingContext
) -> tuple[OwnAnswerLoss, LanguageModel, list[EncodedExample]]:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    torch.manual_seed(0)
    base.new_adapter("x", adapter_settings(base, TrainingSettings()))
    loss = ON_POLICY_DISTILLATION.loss(base, [], TrainingSettings(), made, context)
    assert isinstance(loss, OwnAnswerLoss)
    rows = encode_for_decoder(base, made.examples.train[:8], made.schema, 200)
    return loss, base, [row for row in rows if row is not None]


def of_own(loss: OwnAnswerLoss, rows: list[EncodedExample]) -> float:
    """The divergence on own answers alone."""
    import torch

    answered = loss.own.drawn(rows, 7)
    listed = loss.teacher.next_tokens([row.ids[: s.at] for row in answered for s in row.scored])
    assert listed
    with torch.no_grad():
        return float(loss.of_own(answered, listed))


def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, base, rows = loss_of(tiny, *with_teacher(tiny, tmp_path, monkeypatch, n_listed=384))
    answered = loss.own.drawn(rows, 1)
    said = {tuple(row.ids[row.n_prompt :]) for row in answered}
    assert {row.n_prompt for row in answered} == {row.n_prompt for row in rows}
    assert len(said) == 2, "both answers are drawn now and then"
    assert [r.ids for r in loss.own.drawn(rows, 1)] == [r.ids for r in answered], "the seed decides"
    assert of_own(loss, rows) == pytest.approx(0.0, abs=1e-3)
    loss.own_share = 0.0
    plain = answer_loss(base, [], TrainingSettings())
    hidden = states_of(base, rows).detach()
    assert float(loss.of_batch(hidden, rows)) == pytest.approx(float(plain.of_batch(hidden, rows)))
    assert loss.n_own == 0
    loss.close()


def test_steps_bring_the_student_to_another_teacher(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    loss, base, rows = loss_of(tiny, *with_teacher(tiny, tmp_path, monkeypatch, 3, n_listed=384))
    before = of_own(loss, rows)
    plain, hidden = answer_loss(base, [], TrainingSettings()), states_of(base, rows).detach()
    loss.own_share = 1.0
    added = float(loss.of_batch(hidden, rows).detach()) - float(plain.of_batch(hidden, rows))
    assert added > 0.05 and loss.n_own == len(rows), "a batch learns from the logged answers and from its own"
    weights = [p.requires_grad_(True) for _, p in base.adapter_parameters("x")]
    steps = torch.optim.Adam(weights, lr=1e-2)
    for seed in range(6):
        steps.zero_grad()
        answered = loss.own.drawn(rows, seed)
        listed = loss.teacher.next_tokens([row.ids[: s.at] for row in answered for s in row.scored])
        assert listed
        loss.of_own(answered, listed).backward()
        steps.step()
    assert before > 0.05 and of_own(loss, rows) < before / 2
    loss.close()


def test_a_training_counts_its_questions_and_ends_them_with_the_budget(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices.toml").write_text(
        '[mine]\nsource = "a test"\nas_of = "2026-11"\n[mine.models]\nteacher = { input = 1000.0, output = 1000.0 }\n'
    )
    made, context = with_teacher(tiny, tmp_path, monkeypatch, n_listed=384)
    trained = ON_POLICY_DISTILLATION.train(made, context, 30.0)
    figures = trained.hyperparameters
    assert figures["own_answers"] > 0 and figures["teacher_questions"] == figures["own_answers"], (
        "a label of two answers is one place"
    )
    assert trained.teacher_usd > 0.001 * figures["teacher_questions"]
    trained.release()
    short = replace(context, teacher=context.teacher.model_copy(update={"max_questions": 3}))
    trained = ON_POLICY_DISTILLATION.train(replace(made, folder=tmp_path / "short"), short, 30.0)
    assert trained.hyperparameters["teacher_questions"] <= 3
    assert trained.hyperparameters["teacher_stopped"] == "the 3 questions allowed are used up"
    trained.release()


def test_without_a_teacher_it_says_what_is_missing(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    with pytest.raises(BadInput, match=r"base_url under \[teacher\]"):
        ON_POLICY_DISTILLATION.train(made, context, 20.0)


def test_a_teacher_that_is_not_there_is_named(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    gone = replace(context, teacher=TeacherSettings(base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(BadInput, match=r"the teacher cannot be asked: .*127\.0\.0\.1:9"):
        ON_POLICY_DISTILLATION.train(made, gone, 20.0)
