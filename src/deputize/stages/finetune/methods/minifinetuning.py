"""Minifinetuning: the targets are the untuned model's own predictions, corrected just so far that the right token
leads.

A token that the untuned model finds likely enough by itself teaches nothing new, so its prediction stays as it is;
elsewhere the right token is lifted above every other by a margin tau, and the others keep their proportions:

    p'(right) = 1 - c (1 - p(right)),   p'(other) = c p(other),   c = min(1, (1 - tau) / (1 - p(right) + max p(other)))

where p is the prediction without the adapter, over the choices of a decision or over the vocabulary. The loss is KL(p'
|| q) of the tuned model's q. For few examples: what the examples do not speak of is held where it was.

Legend: N scored tokens, V vocabulary.

References:
    Belcak et al., "Minifinetuning: low-data generation domain adaptation through corrective self-distillation", arXiv
    2506.15702. The correction by a margin tau for each token is the paper's; the formula above is how it is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.answer_loss import AnswerLoss, TokenLosses
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.hidden_states import untuned_states
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.outputs import Head
from deputize.stages.finetune.trainer import TrainingSettings

TAU = 0.25
"""By how much the right token leads after the correction."""


def corrected(p_NV: Any, target_N: Any, tau: float) -> Any:
    """Predictions [N, V], each corrected so that its target leads by at least tau."""
    torch = torch_module()
    at_N1 = target_N[:, None]
    right_N1 = p_NV.gather(1, at_N1)
    other_N1 = p_NV.scatter(1, at_N1, 0.0).max(1, keepdim=True).values
    scale_N1 = torch.clamp((1 - tau) / (1 - right_N1 + other_N1).clamp(min=1e-9), max=1.0)
    return (scale_N1 * p_NV).scatter(1, at_N1, 1 - scale_N1 * (1 - right_N1))


class CorrectedSelfDistillation(AnswerLoss):
    """KL divergence from the corrected predictions of the model without its adapter."""

    tau = TAU

    def training_losses(self, found: TokenLosses, rows: Sequence[EncodedExample]) -> Any:
        torch = torch_module()
        with torch.no_grad():
            untuned = self.token_losses(untuned_states(self.base, rows), rows)
            p_NV = corrected(untuned.logits_NV.softmax(-1), found.target_N, self.tau)
        log_q_NV = found.logits_NV.log_softmax(-1)
        return torch.nn.functional.kl_div(log_q_NV, p_NV, reduction="none").sum(-1)


class MinifinetuningMethod(FineTuning):
    """LoRA under a loss that keeps the model near itself; answers are always written, for a head has no prediction
    before training."""

    always_writes = True

    def loss(
        self,
        base: LanguageModel,
        heads: list[Head],
        settings: TrainingSettings,
        job: TrainingJob,
        context: TrainingContext,
    ) -> AnswerLoss:
        return CorrectedSelfDistillation(
            base, heads, truncate=settings.truncate_loss, clip_ratio=settings.clip_ratio
        )


MINIFINETUNING = MinifinetuningMethod("minifinetuning", 47)
