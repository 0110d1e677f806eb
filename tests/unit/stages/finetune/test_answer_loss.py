"""Loss truncation and clipping act on value tokens only; heads and decoders are scored on what counts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.answer_loss import MIN_TRUNCATION_EXAMPLES, AnswerLoss
from deputize.stages.finetune.encode import EncodedExample, ScoredToken


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


def row(*tokens: ScoredToken) -> EncodedExample:
    return EncodedExample([1, 2, 3, 4], 1, 1.0, list(tokens), [])


VALUE = ScoredToken(at=2, token=7, weight=1.0, allowed=None, counts=True)
DECISION = ScoredToken(at=1, token=9, weight=1.0, allowed=[9, 11], counts=True)


def test_above_the_limit_values_are_skipped_and_decisions_stay(base: LanguageModel) -> None:
    import torch

    hidden = torch.randn(1, 4, base.width, generator=torch.Generator().manual_seed(0))
    loss = AnswerLoss(base, [], truncate=True, clip_ratio=0.0)
    whole = float(loss.of_batch(hidden, [row(VALUE, DECISION)]))
    decision = float(loss.of_batch(hidden, [row(DECISION)]))
    assert 0 < decision < whole and loss.n_truncated == 0
    loss.limit = 0.0
    assert float(loss.of_batch(hidden, [row(VALUE, DECISION)])) == pytest.approx(decision)
    assert loss.n_truncated == 1


def test_the_limit_is_the_maximum_of_validation_where_there_is_enough_of_it(base: LanguageModel) -> None:
    loss = AnswerLoss(base, [], truncate=True, clip_ratio=0.0)
    loss.set_limit([9.0] * (MIN_TRUNCATION_EXAMPLES - 1))
    assert loss.limit == math.inf
    loss.set_limit([1.0] * MIN_TRUNCATION_EXAMPLES + [3.0])
    assert loss.limit == 3.0
    careless = AnswerLoss(base, [], truncate=False, clip_ratio=0.0)
    careless.set_limit([1.0] * 99)
    assert careless.limit == math.inf


def test_forced_answers_are_right_where_the_likeliest_token_is(base: LanguageModel) -> None:
    import torch

    hidden = torch.randn(1, 4, base.width, generator=torch.Generator().manual_seed(0))
    logits = base.lm.get_output_embeddings()(hidden[0, 1])
    likeliest = int(logits.argmax())
    loss = AnswerLoss(base, [], truncate=True, clip_ratio=0.0)
    good = loss.forced(hidden, [row(VALUE._replace(token=likeliest))])
    bad = loss.forced(hidden, [row(VALUE._replace(token=(likeliest + 1) % 99))])
    assert good.right == [True] and bad.right == [False] and good.log_ps == bad.log_ps
    assert good.losses == pytest.approx([-x for x in good.log_ps], abs=1e-4)
    prose = loss.forced(hidden, [row(VALUE._replace(token=(likeliest + 1) % 99, counts=False))])
    assert prose.right == [True] and prose.log_ps == [0.0], "free text does not count"


def test_a_head_is_right_where_its_target_is_likeliest(base: LanguageModel) -> None:
    import torch

    heads = [(torch.eye(2, base.width), torch.zeros(2)), (torch.zeros(3, base.width), torch.zeros(3))]
    hidden = torch.zeros(1, 2, base.width)
    hidden[0, -1, 1] = 5.0
    loss = AnswerLoss(base, heads, truncate=True, clip_ratio=2.0)
    found = loss.forced(hidden, [EncodedExample([1, 2], 2, 1.0, [], [1, -1])])
    assert found.right == [True] and found.log_ps[0] == pytest.approx(-math.log(1 + math.exp(-5)), abs=1e-5)
    assert float(loss.of_batch(hidden, [EncodedExample([1, 2], 2, 2.0, [], [1, -1])])) == pytest.approx(
        2 * found.losses[0], abs=1e-5
    )
