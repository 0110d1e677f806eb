"""Validation during training: loss, accuracy and coverage of examples that are not trained on, and when to stop.

References:
    Geifman and El-Yaniv, "Selective classification for deep neural networks", arXiv 1705.08500 (coverage at a risk).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deputize.scoring.intervals import coverage_at
from deputize.specialists.classification_head import batches
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.answer_loss import AnswerLoss
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.hidden_states import HiddenStates

BUDGET_SHARE, MIN_EXAMPLES = 0.1, 32
"""Part of the budget for validation, and the examples that are used in any case."""
RISKS = (0.01, 0.02, 0.05)
MIN_FOR_COVERAGE = 200
"""Examples from which coverage decides what is best: on fewer it moves in leaps, so the loss decides."""


class ValidationResult(NamedTuple):
    """Validation after one epoch."""

    loss: float
    accuracy: float
    coverage: float
    """Mean share that could be served at a loss of .01, .02 and .05, by hindsight."""


NOT_VALIDATED = ValidationResult(math.nan, math.nan, math.nan)


class Validation:
    """The validation examples of one training."""

    def __init__(self, rows: Sequence[EncodedExample], *, seed: int, most: int, micro_tokens: int) -> None:
        order = random.Random(seed).sample(range(len(rows)), min(len(rows), most))
        self.rows = [rows[i] for i in order]
        self._micro_tokens, self._is_fitted = micro_tokens, False

    def fit_to_budget(
        self, budget_s: float, n_epochs: int, *, tokens_per_s: float, n_train_tokens: int
    ) -> None:
        """Keeps no more examples than a tenth of the budget allows after each epoch; once, before the first validation.

        Args:
            budget_s: of the training.
            n_epochs: that are planned.
            tokens_per_s: speed of training; validation is twice as fast, having no backward pass.
            n_train_tokens: of one epoch.
        """
        if self._is_fitted:
            return
        self._is_fitted = True
        rate = 2 * tokens_per_s
        n_tests = min(n_epochs, max(1.0, budget_s * rate / 2 / max(1, n_train_tokens)))
        room = BUDGET_SHARE * budget_s * rate / n_tests
        n_tokens_N = np.cumsum([len(row) for row in self.rows])
        n_kept = max(MIN_EXAMPLES, int(np.searchsorted(n_tokens_N, room, side="right")))
        self.rows = self.rows[:n_kept]

    def keep(self, n: int) -> None:
        """Keeps so many examples, as many as an interrupted training was validated on."""
        self.rows, self._is_fitted = self.rows[:n], True

    def run(self, hidden: HiddenStates, loss: AnswerLoss) -> ValidationResult:
        """Loss, accuracy and coverage with the answers forced as given; sets the limit of loss truncation."""
        if not self.rows:
            return NOT_VALIDATED
        hidden.base.lm.eval()
        losses, right, log_ps, values = list[float](), list[bool](), list[float](), list[float]()
        with torch_module().inference_mode():
            for part in batches([len(r) for r in self.rows], 2 * self._micro_tokens):
                rows = [self.rows[i] for i in part]
                found = loss.forced(hidden.of_rows(rows), rows)
                losses += found.losses
                right += found.right
                log_ps += found.log_ps
                values += found.value_losses
        loss.set_limit(values)
        wrong_N = 1.0 - np.array(right, dtype=float)
        everyone = np.ones(len(right), dtype=bool)
        shares = [coverage_at(np.array(log_ps), wrong_N, risk, everyone)[0] for risk in RISKS]
        return ValidationResult(float(np.mean(losses)), float(np.mean(right)), float(np.mean(shares)))

    def score(self, result: ValidationResult, epoch: int) -> float:
        """How good an epoch is; without validation examples the last one is the best."""
        if not self.rows:
            return float(epoch)
        if math.isnan(result.loss):  # the only epoch there was time for
            return -math.inf
        # coverage is what a certificate pays for
        return result.coverage - 1e-3 * result.loss if len(self.rows) >= MIN_FOR_COVERAGE else -result.loss
