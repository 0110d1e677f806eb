"""DPO: training on the LLM's answers that also widens the lead of answers that ended well over answers that ended
badly.

Pairs come from outcomes and feedback: two calls of train with the same pruned prompt and different answers, where the
episode of one succeeded and that of the other failed. The loss of a pair is added to the cross-entropy with the good
answer, without which DPO also lowers the probability of good answers:

    -log sigmoid(beta ((log q(good) - log p(good)) - (log q(bad) - log p(bad))))

with q the tuned model and p the same model without its adapter, over the tokens that can be one thing or another.

References:
    Rafailov et al., "Direct preference optimization", arXiv 2305.18290.
    Pang et al., "Iterative reasoning preference optimization", arXiv 2404.19733 (the added cross-entropy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.answer_loss import AnswerLoss, TokenLosses
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.hidden_states import states_of, untuned_states
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.outputs import Head
from deputize.stages.finetune.trainer import TrainingSettings

BETA = 0.1
"""How far the tuned model may move from the untuned one for a pair: the smaller, the further."""
MIN_PAIRS = 8
"""Pairs below which there is nothing to learn from."""


class PreferenceLoss(AnswerLoss):
    """Cross-entropy with the LLM's answers, and DPO on the examples that have a rejected one."""

    beta = BETA

    def of_batch(self, hidden_BTH: Any, rows: Sequence[EncodedExample]) -> Any:
        total = super().of_batch(hidden_BTH, rows)
        pairs = [row for row in rows if row.rejected is not None]
        if not pairs:
            return total
        weight_P = total.new_tensor([row.weight for row in pairs])
        return total + (weight_P * self.of_pairs(pairs)).sum()

    def of_pairs(self, pairs: Sequence[EncodedExample]) -> Any:
        """DPO's loss of each pair, [P]."""
        return -torch_module().nn.functional.logsigmoid(self.beta * self.leads(pairs))

    def leads(self, pairs: Sequence[EncodedExample]) -> Any:
        """By how many nats more the tuned model prefers the good answer of each pair than the untuned one does, [P]."""
        good, bad = list(pairs), [row.rejected for row in pairs if row.rejected is not None]
        lead_P = 0.0
        for rows, sign in ((good, 1.0), (bad, -1.0)):
            tuned = self._log_p(self.token_losses(states_of(self.base, rows), rows), len(rows))
            with torch_module().no_grad():
                untuned = self._log_p(self.token_losses(untuned_states(self.base, rows), rows), len(rows))
            lead_P = lead_P + sign * (tuned - untuned)
        return lead_P

    @staticmethod
    def _log_p(found: TokenLosses, n_rows: int) -> Any:
        """Log-probability of each answer, [B]."""
        row_N = found.target_N.new_tensor([token.row for token in found.tokens])
        return found.losses.new_zeros(n_rows).index_add(0, row_N, -found.losses)


class DpoMethod(FineTuning):
    """LoRA with preferences; answers are always written."""

    always_writes = True

    def loss(
        self,
        base: LanguageModel,
        heads: list[Head],
        settings: TrainingSettings,
        job: TrainingJob,
        context: TrainingContext,
    ) -> AnswerLoss:
        n_pairs = sum(x.rejected is not None for x in job.examples.train)
        if n_pairs < MIN_PAIRS:
            raise BadInput(
                f"the log holds {n_pairs} pairs of answers to the same prompt of which one ended well and the other badly; "
                f"{MIN_PAIRS} are needed (outcomes come from the log or from feedback)"
            )
        return PreferenceLoss(base, heads, truncate=settings.truncate_loss, clip_ratio=settings.clip_ratio)


DPO = DpoMethod("dpo", 55)
