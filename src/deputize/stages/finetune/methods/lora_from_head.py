"""LoRA that begins with heads fitted on the frozen states of the base model, instead of heads made from the words of
the answers.

An adapter that is new changes nothing, so at the first step the specialist answers as the fitted heads do, and the
training goes on from there. Where answers are written there is no head, and the method is LoRA.

References:
    Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", arXiv 2202.10054
    (linear probing, then fine-tuning).
"""

from __future__ import annotations

import random

from deputize.core.deadline import Deadline
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.pooled_states import states_model
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.encode import MAX_TOKENS
from deputize.stages.finetune.fit_heads import best_strength, fit_heads
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.methods.frozen import head_examples
from deputize.stages.finetune.outputs import AnswerMode, ClassificationMode, Head

READING_SHARE = 0.1
"""Of a job's time, for the states that the heads are fitted on: of all examples, or of as many as there is time for."""


class LoraFromHead(FineTuning):
    """LoRA from fitted heads on."""

    def heads(
        self,
        output: AnswerMode,
        base: LanguageModel,
        job: TrainingJob,
        context: TrainingContext,
        budget_s: float,
    ) -> list[Head]:
        closed = output.answers if isinstance(output, ClassificationMode) else None
        fitting = [
            x for x in job.examples.train if closed is not None and closed.indices(x.answer) is not None
        ]
        if closed is None or not fitting:
            return super().heads(output, base, job, context, budget_s)
        random.Random(context.config.seed).shuffle(fitting)
        read = context.states.of(
            states_model(base.path),
            [x.text for x in fitting],
            MAX_TOKENS,
            Deadline.after(READING_SHARE * budget_s, context.clock),
            context.progress,
            f"reading {job.name}",
        )
        # of [mean of a middle layer, last token of the last layer] a head of a language model sees the second
        last_NH = read.states_NS[:, base.width :]
        examples = head_examples(last_NH, fitting[: len(last_NH)], closed)
        sizes = [len(question.choices) for question in closed.questions]
        torch = torch_module()
        return [
            (torch.tensor(weight, device=base.device), torch.tensor(bias, device=base.device))
            for weight, bias in fit_heads(examples, sizes, best_strength(examples, sizes))
        ]


LORA_FROM_HEAD = LoraFromHead("lora_from_head", 41)
