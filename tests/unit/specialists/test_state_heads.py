"""Heads over pooled states: log-probabilities, and what is stored is what is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests import tiny_tasks

from deputize.specialists.closed_answers import closed
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.state_heads import HEADS_FILE, StateHeadPredictor, scores_of
from deputize.specialists.text_encoder import TextEncoder


def test_scores_are_log_probabilities() -> None:
    states_NS = np.array([[1.0, 0.0], [0.0, 1e4]], np.float32)
    (log_p_NC,) = scores_of([(np.eye(2, dtype=np.float32), np.array([0.0, 1.0], np.float32))], states_NS)
    assert np.allclose(np.exp(log_p_NC).sum(1), 1) and log_p_NC.dtype == np.float32
    assert np.allclose(log_p_NC[0], np.log(0.5)) and log_p_NC[1, 1] == 0


def test_it_answers_in_the_order_of_the_texts_and_saves_its_heads(tiny_base: Path, tmp_path: Path) -> None:
    answers = closed(learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"]))
    assert answers is not None
    encoder = TextEncoder(tiny_base, "cpu")
    rng = np.random.default_rng(0)
    weight_CS = rng.normal(size=(2, encoder.width)).astype(np.float32)
    predictor = StateHeadPredictor(encoder, [(weight_CS, np.zeros(2, np.float32))], answers, 64)
    assert predictor.predict([]) == []
    texts = ["please call me back", "a", "thanks a lot for the refund of my order today"]
    found = predictor.predict(texts)
    assert [p.answer for p in found] == [predictor.predict([t])[0].answer for t in texts]
    assert [p.n_prompt_tokens for p in found] == [len(r) for r in encoder.rows(texts, 64)]
    assert not predictor.depends_on_batch
    predictor.save(tmp_path)
    with np.load(tmp_path / HEADS_FILE) as stored:
        assert (stored["weight_0"] == weight_CS).all() and (stored["bias_0"] == 0).all()
