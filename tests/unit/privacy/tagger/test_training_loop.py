"""The training loop: batches, learning rate, and the deadline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deputize.privacy.tagger import network
from deputize.privacy.tagger.training_loop import (
    HEAD_RATE_FACTOR,
    TaggerTraining,
    TaggerTrainingSettings,
    TrainingWindow,
    training_batches,
)

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

WINDOWS = [TrainingWindow([5] * n, [0] * n) for n in (3, 40, 5, 7, 80, 4, 9, 60)]


def test_batches_hold_every_window_once_and_keep_to_their_size() -> None:
    batches = training_batches(WINDOWS, 100, np.random.default_rng(0))
    assert sorted(i for batch in batches for i in batch) == list(range(len(WINDOWS)))
    for batch in batches:
        longest = max(len(WINDOWS[i].ids) + 2 for i in batch)
        assert longest * len(batch) <= 100


@pytest.fixture
def training(tiny_base: Path) -> TaggerTraining:
    settings = TaggerTrainingSettings(seed=0, epochs=1, tokens_per_batch=100, learning_rate=1e-3)
    special = network.special_ids(network.read_tokenizer(tiny_base))
    return TaggerTraining(network.build(tiny_base, 3), special, settings, "cpu")


def test_the_learning_rate_rises_and_falls_and_is_higher_for_the_head(training: TaggerTraining) -> None:
    rates = []
    for done in (0.0, 0.06, 0.5, 0.99):
        training._set_learning_rate(done)
        body, head = (group["lr"] for group in training._optimiser.param_groups)
        assert head == pytest.approx(HEAD_RATE_FACTOR * body)
        rates.append(body)
    assert rates[0] < rates[3] < rates[2] < rates[1] <= 1e-3


def test_the_deadline_ends_training(training: TaggerTraining) -> None:
    rng = np.random.default_rng(0)
    late = training.run(WINDOWS, rng, ends_at=2.0, clock=iter([0.0, 1.0, 2.0]).__next__)
    assert late.stopped_early and 0 < late.epochs < 1
    done = training.run(WINDOWS, rng, ends_at=1e9, clock=lambda: 0.0)
    assert done == (1.0, False)
