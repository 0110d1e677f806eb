"""Token-level distillation: a head learns how likely the LLM found each label, from logged log-probabilities.

The loss is KL(t || q), with t the LLM's probabilities of the labels among the tokens that the log holds (sparse: the
likeliest ones only) and q the head's. An example without log-probabilities is learned from as usual. The LLM's tokens
need not be the model's: they are read as beginnings of labels.

References:
    Hinton et al., "Distilling the knowledge in a neural network", arXiv 1503.02531.
"""

from __future__ import annotations

from typing import Any

from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.answer_loss import AnswerLoss
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.outputs import Head
from deputize.stages.finetune.trainer import TrainingSettings

MIN_SOFT = 16
"""Examples with log-probabilities below which there is nothing to distil."""


class SparseDivergence(AnswerLoss):
    """KL divergence from the LLM's probabilities where they are known, cross-entropy with its answer elsewhere."""

    def head_loss(self, hidden_H: Any, row: EncodedExample) -> Any:
        if row.soft is None:
            return super().head_loss(hidden_H, row)
        ((weights_CH, bias_C),) = self.heads
        log_q_C = (weights_CH @ hidden_H + bias_C).log_softmax(-1)
        teacher_C = log_q_C.new_tensor(row.soft)
        # 0 log 0 is 0
        return (teacher_C * (teacher_C.clamp(min=1e-30).log() - log_q_C)).sum()


class TokenDistillationMethod(FineTuning):
    """LoRA with a head, for tasks whose replies are labels and whose log holds log-probabilities."""

    def loss(
        self,
        base: LanguageModel,
        heads: list[Head],
        settings: TrainingSettings,
        job: TrainingJob,
        context: TrainingContext,
    ) -> AnswerLoss:
        if len(heads) != 1 or job.task.contract.kind != "label":
            raise BadInput(
                "the LLM's probabilities are read for replies that are one label, and this task's are not"
            )
        n_soft = sum(x.soft is not None for x in job.examples.train)
        if n_soft < MIN_SOFT:
            raise BadInput(
                f"{n_soft} replies of train come with log-probabilities, and {MIN_SOFT} are needed "
                "(an agent gets them with logprobs and top_logprobs in its requests)"
            )
        return SparseDivergence(base, heads, truncate=settings.truncate_loss, clip_ratio=settings.clip_ratio)


TOKEN_DISTILLATION = TokenDistillationMethod("token_distillation", 42)
