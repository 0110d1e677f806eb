"""Heads on the last hidden state: batches, padding, and what is stored is what is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tasks

from deputize.specialists.classification_head import (
    HEADS_FILE,
    HeadPredictor,
    batches,
    first_weights,
    last_hidden,
    padded,
)
from deputize.specialists.closed_answers import closed
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


def test_batches_hold_texts_of_like_length_and_no_more_tokens_than_allowed() -> None:
    lengths = [5, 1, 9, 4, 30]
    found = batches(lengths, 10)
    assert sorted(i for batch in found for i in batch) == [0, 1, 2, 3, 4]
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 10 for b in found)
    assert [1, 3] in found


def test_padding_changes_no_hidden_state(base: LanguageModel) -> None:
    rows = [base.ids("the order"), base.ids("the order LH-12345 of the customer")]
    ids, mask, positions = padded(base, rows)
    assert mask.sum(1).tolist() == [len(r) for r in rows] and positions[:, -1].tolist() == [
        len(r) - 1 for r in rows
    ]
    assert ids[0, -1] == rows[0][-1]
    together = last_hidden(base, rows).detach().numpy()
    alone = np.concatenate([last_hidden(base, [r]).detach().numpy() for r in rows])
    assert np.allclose(together, alone, atol=1e-4)


def test_heads_begin_with_the_words_of_the_choices(base: LanguageModel) -> None:
    weights = first_weights(base, ["refund", "login", "refund"])
    assert weights.shape == (3, base.width)
    assert bool((weights[0] == weights[2]).all()) and not bool((weights[0] == weights[1]).all())


def test_it_answers_in_the_order_of_the_texts_and_saves_its_heads(
    base: LanguageModel, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    answers = closed(learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"]))
    assert answers is not None
    heads = [(first_weights(base, ["yes", "no"]), torch.zeros(2))]
    predictor = HeadPredictor(base, "", heads, answers, 64)
    texts = ["please refund it today", "x", "order LH-12345 has not arrived yet, please refund it"]
    found = predictor.predict(texts)
    assert [p.answer for p in found] == [predictor.predict([t])[0].answer for t in texts]
    assert all(p.answer in ("yes", "no") and p.n_prompt_tokens > 0 for p in found)
    predictor.save(tmp_path)
    stored = load_file(tmp_path / HEADS_FILE)
    assert torch.equal(stored["weight_0"], heads[0][0]) and torch.equal(stored["bias_0"], heads[0][1])
