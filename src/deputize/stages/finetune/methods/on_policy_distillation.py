"""On-policy distillation: the specialist draws answers of its own while it is trained, and a teacher's server scores
each of their tokens.

Sequence-level distillation shows only what the LLM wrote; where the specialist has begun an answer otherwise, nothing
tells it how to go on. Here a share of each batch is answered by the specialist as it is at that step, and at each place
that was not forced the loss is the generalised Jensen-Shannon divergence of the teacher's p and the specialist's q:

    beta KL(p || m) + (1 - beta) KL(q || m),   m = beta p + (1 - beta) q

No gradient passes through the drawing. To it the cross-entropy with the logged answers of the whole batch is added: a
certificate is about the logged LLM. A server lists the likeliest tokens only, so both distributions are taken over the
listed tokens and "any other"; at a decision over its choices.

The teacher reads the pruned prompts of train and the specialist's own form of answers, so it is a model tuned for the
task as well: a larger one, or the same one trained in full.

Legend: N scored tokens, K outcomes of a place.

References:
    Agarwal et al., "On-policy distillation of language models: learning from self-generated mistakes", arXiv 2306.13649
    (generalised knowledge distillation, GKD).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.answer_loss import AnswerLoss
from deputize.stages.finetune.encode import MAX_TOKENS, EncodedExample, ScoredToken, encode_for_decoder
from deputize.stages.finetune.hidden_states import states_of
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.outputs import Head, longest_slot
from deputize.stages.finetune.own_answers import OwnAnswers
from deputize.stages.finetune.teacher_server import TeacherServer
from deputize.stages.finetune.trainer import TrainingSettings

OWN_SHARE = 0.5
"""Share of a batch that the specialist answers itself (the paper's lambda)."""
BETA = 0.5
"""Between KL(p || q), towards 0, and KL(q || p), towards 1."""
_LEAST_P = 1e-6


def divergence(p_K: Any, q_K: Any, beta: float) -> Any:
    """Generalised Jensen-Shannon divergence of two distributions in nats; 0 log 0 is 0."""
    m_K = (beta * p_K + (1 - beta) * q_K).clamp(min=1e-30)
    of_p = (p_K * (p_K.clamp(min=1e-30) / m_K).log()).sum()
    of_q = (q_K * (q_K.clamp(min=1e-30) / m_K).log()).sum()
    return beta * of_p + (1 - beta) * of_q


def teacher_shares(listed: Mapping[int, float], allowed: Sequence[int] | None) -> list[float] | None:
    """The teacher's probabilities of the outcomes of a place.

    Args:
        listed: log-probabilities by token.
        allowed: the choices of a decision; None: any token.

    Returns:
        Of each of `allowed`; of each listed token and "any other" where that is None. None where nothing is known of
        them.
    """
    p = {token: math.exp(log_p) for token, log_p in listed.items()}
    if not p:
        return None
    rest = max(0.0, 1.0 - sum(p.values()))
    if allowed is None:
        total = sum(p.values()) + rest
        return [*(share / total for share in p.values()), rest / total]
    if not any(token in p for token in allowed):
        return None
    # what is not listed is less likely than what is
    unlisted = max(_LEAST_P, min(rest, min(p.values())))
    shares = [p.get(token, unlisted) for token in allowed]
    return [share / sum(shares) for share in shares]


class OwnAnswerLoss(AnswerLoss):
    """Cross-entropy with the logged answers, and the divergence from the teacher on answers of the specialist's own."""

    beta, own_share = BETA, OWN_SHARE

    def __init__(
        self,
        base: LanguageModel,
        settings: TrainingSettings,
        teacher: TeacherServer,
        own: OwnAnswers,
        seed: int,
    ) -> None:
        super().__init__(base, [], truncate=settings.truncate_loss, clip_ratio=settings.clip_ratio)
        self.teacher, self.own, self.seed = teacher, own, seed
        self.n_batches, self.n_own = 0, 0

    @property
    def usd(self) -> float:
        """Price of the questions to the teacher."""
        return self.teacher.usd

    def close(self) -> None:
        """Closes the connections to the teacher."""
        self.teacher.close()

    def record(self) -> dict[str, Any]:
        teacher = self.teacher
        return {
            "teacher": teacher.model,
            "teacher_questions": teacher.n_questions,
            "own_answers": self.n_own,
            "teacher_stopped": teacher.stopped,
        }

    def counters(self) -> dict[str, Any]:
        asked = {"questions": self.teacher.n_questions, "usd": self.teacher.usd}
        return {**super().counters(), **asked, "batches": self.n_batches, "own": self.n_own}

    def resume(self, counters: Mapping[str, Any]) -> None:
        super().resume(counters)
        self.teacher.n_questions, self.teacher.usd = counters["questions"], counters["usd"]
        self.n_batches, self.n_own = counters["batches"], counters["own"]

    def of_batch(self, hidden_BTH: Any, rows: Sequence[EncodedExample]) -> Any:
        total = super().of_batch(hidden_BTH, rows)
        rng = random.Random(f"{self.seed}:{self.n_batches}")
        self.n_batches += 1
        chosen = [row for row in rows if rng.random() < self.own_share]
        if not chosen or self.teacher.stopped:
            return total
        answered = [row for row in self.own.drawn(chosen, rng.getrandbits(32)) if row.scored]
        places = [(row, token) for row in answered for token in row.scored]
        listed = self.teacher.next_tokens([row.ids[: token.at] for row, token in places])
        if not listed:
            return total
        self.n_own += len(answered)
        return total + self.of_own(answered, listed)

    def of_own(self, rows: Sequence[EncodedExample], listed: Sequence[Mapping[int, float]]) -> Any:
        """The loss of answers of the specialist's own, given the teacher's log-probabilities at each of their scored
        tokens."""
        found = self.token_losses(states_of(self.base, rows), rows)
        places = [(row, token) for row in rows for token in row.scored]
        total = found.losses.new_zeros(())
        for n, ((row, token), log_ps) in enumerate(zip(places, listed, strict=True)):
            p = teacher_shares(log_ps, token.allowed)
            if p is not None:
                of_place = divergence(
                    found.losses.new_tensor(p), self._shares(found.logits_NV[n], token, log_ps), self.beta
                )
                total = total + row.weight * found.weights[n] * of_place
        return total

    def _shares(self, logits_V: Any, token: ScoredToken, listed: Mapping[int, float]) -> Any:
        """The specialist's probabilities of the same outcomes, [K]."""
        torch = torch_module()
        q_V = logits_V.softmax(-1)
        if token.allowed is not None:
            return q_V[token.allowed]
        q_K = q_V[list(listed)]
        return torch.cat([q_K, (1 - q_K.sum()).clamp(min=0.0)[None]])


class OnPolicyMethod(FineTuning):
    """LoRA with a teacher at hand; answers are always written."""

    always_writes = True
    may_search = False

    def loss(
        self,
        base: LanguageModel,
        heads: list[Head],
        settings: TrainingSettings,
        job: TrainingJob,
        context: TrainingContext,
    ) -> AnswerLoss:
        given = context.teacher
        if not given.base_url:
            raise BadInput(
                "no teacher is set: base_url under [teacher] of config.toml names a server with OpenAI's completions API and "
                "log-probabilities, whose model was tuned for this task"
            )
        teacher = TeacherServer(given, given.model or job.task.id, base, context.home)
        try:
            teacher.check([x.text for x in job.examples.train])
        except BaseException:
            teacher.close()
            raise
        rows = encode_for_decoder(base, job.examples.train, job.schema, MAX_TOKENS)
        own = OwnAnswers(
            base, base.active, job.schema, longest_slot([row for row in rows if row is not None])
        )
        return OwnAnswerLoss(base, settings, teacher, own, context.config.seed)


ON_POLICY_DISTILLATION = OnPolicyMethod("on_policy_distillation", 48)
