"""Loss of answers: cross-entropy of heads, or of an answer's scored tokens with loss truncation and clipping.

Loss truncation: from the second epoch on, examples whose value-token loss exceeds the maximum seen on validation are
skipped, for what does not generalise can only be memorised. What one episode alone holds (a stray secret, a
slip) is so seen once. Loss clipping: the value tokens of an example weigh at most a multiple of the median loss of the
examples before it. Decisions among choices are neither skipped nor clipped, for they may be rare.

Legend: B examples of a batch, T tokens, H width, C choices.

References:
    Kang and Hashimoto, "Improved Natural Language Generation via Loss Truncation", arXiv 2004.14589 (the threshold is a
    quantile of train there, the maximum on validation here).
    Feldman, "Does Learning Require Memorization?", arXiv 1906.05271: rare and odd examples can only be memorised.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.encode import EncodedExample

CLIP_WINDOW, MIN_CLIPPED_LOSS = 16, 0.5
"""Examples whose median an example is compared with, and the loss (nats) that any example may have."""
MIN_TRUNCATION_EXAMPLES = 16
"""Validation examples from which their maximum is taken as the limit."""


class ScoredPlace(NamedTuple):
    """A scored token."""

    row: int
    counts: bool
    is_value: bool
    """Written freely, not one of given choices."""


class TokenLosses(NamedTuple):
    """Of every scored token of a batch."""

    losses: Any
    weights: Any
    """In the loss of its example."""
    best_log_p: Any
    """Log-probability of the likeliest token."""
    is_right: Any
    """True where that is the right one."""
    tokens: list[ScoredPlace]
    logits_NV: Any
    """Scores of all tokens of the vocabulary; of a decision, -10,000 for what is none of its choices."""
    target_N: Any

    def of_values(self, n_rows: int) -> list[float]:
        """Weighted loss of the value tokens of each example."""
        out = [0.0] * n_rows
        weighed = (self.losses.detach() * self.weights).tolist()
        for loss, token in zip(weighed, self.tokens, strict=True):
            if token.is_value:
                out[token.row] += loss
        return out


@dataclass
class TeacherForcedAnswers:
    """Examples of a batch with their answers forced as given."""

    losses: list[float]
    right: list[bool]
    """True where greedy decoding would have given the answer."""
    log_ps: list[float]
    """Log-probability of the greedy answer."""
    value_losses: list[float]
    """Of the value tokens; [] with heads."""


class AnswerLoss:
    """The loss of one specialist in training."""

    def __init__(
        self, base: LanguageModel, heads: Sequence[tuple[Any, Any]], *, truncate: bool, clip_ratio: float
    ) -> None:
        """
        Args:
            base: the model.
            heads: per question weights [C, H] and bias [C]; none where answers are written.
            truncate: whether to skip what only memory could learn.
            clip_ratio: how many times the median of the examples before it the value tokens of an example may weigh; 0:
                no bound.
        """
        self.base, self.heads, self.truncate, self.clip_ratio = base, heads, truncate, clip_ratio
        self.limit = math.inf
        """Value-token loss above which an example is skipped: the maximum on validation after the epoch before."""
        self.n_truncated = 0
        """Examples skipped since this was set to 0."""
        self.before: deque[float] = deque(maxlen=CLIP_WINDOW)
        """Value-token losses of the newest examples."""

    @property
    def usd(self) -> float:
        """Price of what other models were asked for."""
        return 0.0

    def close(self) -> None:
        """Lets go of what only the training needs."""

    def record(self) -> dict[str, Any]:
        """Figures of the training that belong on the specialist's card besides losses."""
        return {}

    def counters(self) -> dict[str, Any]:
        """Everything that a resumed training needs of it, as JSON."""
        return {"limit": self.limit if math.isfinite(self.limit) else None, "before": list(self.before)}

    def resume(self, counters: Mapping[str, Any]) -> None:
        """Goes back to what `counters` gave."""
        self.limit = math.inf if counters["limit"] is None else counters["limit"]
        self.before.extend(counters["before"])

    def of_batch(self, hidden_BTH: Any, rows: Sequence[EncodedExample]) -> Any:
        """Sum of the examples' weighted losses, to be minimised."""
        if self.heads:
            start = hidden_BTH.new_zeros((), dtype=torch_module().float32)
            return sum(
                (row.weight * self.head_loss(hidden_BTH[b, -1].float(), row) for b, row in enumerate(rows)),
                start=start,
            )
        found = self.token_losses(hidden_BTH, rows)
        values = found.of_values(len(rows))
        self.n_truncated += sum(loss > self.limit for loss in values)
        factors = [0.0 if loss > self.limit else self.clip_factor(loss) for loss in values]
        kept = [rows[t.row].weight * (factors[t.row] if t.is_value else 1.0) for t in found.tokens]
        return (self.training_losses(found, rows) * found.weights * found.losses.new_tensor(kept)).sum()

    def training_losses(self, found: TokenLosses, rows: Sequence[EncodedExample]) -> Any:
        """The loss of each scored token, [N]: here cross-entropy with the token of the answer. Methods override it."""
        return found.losses

    def clip_factor(self, loss: float) -> float:
        """Factor in (0, 1] for an example's value tokens of this loss, which is remembered for those after it."""
        before = statistics.median(self.before) if self.before else math.inf
        self.before.append(loss)
        most = max(MIN_CLIPPED_LOSS, self.clip_ratio * before)
        return 1.0 if not self.clip_ratio or loss <= most else most / loss

    def set_limit(self, value_losses: Sequence[float]) -> None:
        """Takes the value-token losses of validation; too few of them say nothing."""
        if self.truncate and len(value_losses) >= MIN_TRUNCATION_EXAMPLES:
            self.limit = max(value_losses)

    def forced(self, hidden_BTH: Any, rows: Sequence[EncodedExample]) -> TeacherForcedAnswers:
        """How well answers are known, without a gradient."""
        if self.heads:
            found = [self._head_answer(hidden_BTH[b, -1].float(), row) for b, row in enumerate(rows)]
            return TeacherForcedAnswers(
                [f[0] for f in found], [f[1] for f in found], [f[2] for f in found], []
            )
        tokens = self.token_losses(hidden_BTH, rows)
        out = TeacherForcedAnswers(
            [0.0] * len(rows), [True] * len(rows), [0.0] * len(rows), tokens.of_values(len(rows))
        )
        weighed = (tokens.losses * tokens.weights).tolist()
        scored = zip(
            weighed, tokens.best_log_p.tolist(), tokens.is_right.tolist(), tokens.tokens, strict=True
        )
        for loss, log_p, hit, token in scored:
            out.losses[token.row] += loss
            if token.counts:
                out.right[token.row] = out.right[token.row] and hit
                out.log_ps[token.row] += log_p
        return out

    def head_loss(self, hidden_H: Any, row: EncodedExample) -> Any:
        """The loss of an example whose answer is chosen by heads, given its last hidden state. Methods override it."""
        torch = torch_module()
        total = hidden_H.new_zeros(())
        for (weights_CH, bias_C), target in zip(self.heads, row.targets, strict=True):
            if target >= 0:
                total = total - torch.log_softmax(weights_CH @ hidden_H + bias_C, dim=-1)[target]
        return total

    def _head_answer(self, hidden_H: Any, row: EncodedExample) -> tuple[float, bool, float]:
        torch = torch_module()
        loss, ok, best_log_p = 0.0, True, 0.0
        for (weights_CH, bias_C), target in zip(self.heads, row.targets, strict=True):
            if target >= 0:
                log_p = torch.log_softmax(weights_CH @ hidden_H + bias_C, dim=-1)
                loss -= float(log_p[target])
                ok = ok and int(log_p.argmax()) == target
                best_log_p += float(log_p.max())
        return loss, ok, best_log_p

    def token_losses(self, hidden_BTH: Any, rows: Sequence[EncodedExample]) -> TokenLosses:
        """Losses of the scored tokens, given the decoder's output [B, T, H] for the rows."""
        torch = torch_module()
        longest = hidden_BTH.shape[1]
        where, targets, weights, allowed, tokens = [], [], [], [], list[ScoredPlace]()
        for b, row in enumerate(rows):
            shift = longest - len(row)
            for s in row.scored:
                where.append((b, shift + s.at - 1))
                targets.append(s.token)
                weights.append(s.weight)
                allowed.append(s.allowed)
                tokens.append(ScoredPlace(b, s.counts, s.allowed is None))
        device = hidden_BTH.device
        picked = hidden_BTH[[b for b, _ in where], [t for _, t in where]]
        logits = self.base.lm.get_output_embeddings()(picked).float()
        for n, only in enumerate(allowed):
            if only is not None:
                mask = torch.full_like(logits[n], -1e4)
                mask[only] = 0.0
                logits[n] = logits[n] + mask
        target_N = torch.tensor(targets, device=device)
        losses = torch.nn.functional.cross_entropy(logits, target_N, reduction="none")
        best, at = logits.detach().max(-1)
        best_log_p = best - torch.logsumexp(logits.detach(), -1)
        scale_N = torch.tensor(weights, device=device)
        return TokenLosses(losses, scale_N, best_log_p, at == target_N, tokens, logits, target_N)
