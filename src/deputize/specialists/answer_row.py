"""One answer in the making: which tokens are decided, which follow from them, and which are worth a trial.

Legend: V vocabulary, H width.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from deputize.specialists.answer_forms import Form, Guesses, form_of
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.drafts import draft
from deputize.specialists.kept_forms import KeptForm, SlotKey, as_written_before
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.llama_stack import linear
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.value_guide import ValueGuide, ValueGuides

Trie = dict[int, Any]
Draw = Callable[[Sequence[float]], int]

RECENT = 32
"""Values written before that trials are guessed from: the answers of a task have words in common that no prompt
holds."""
FORMS = 32
"""Values of a slot written before whose forms are kept."""
WHOLE_TRIAL = 40
"""Tokens read on trial where earlier values agree on the whole value: what is kept of them would have to be read
anyway."""
_SURE = 30.0
"""Margin in nats where nothing else was possible."""
_LIKELIEST = 20
"""Tokens of a value that one is drawn from."""


_SUMMED_AT_ONCE = 16_384
"""Scores; torch sums more than 32,768 on several threads, in an order that depends on their number."""


def drawn_place(scores: Sequence[float], rng: random.Random) -> int:
    """The place of one of some log-probabilities, which need not be normalised, drawn as likely as they say."""
    top = max(scores)
    return rng.choices(range(len(scores)), [math.exp(score - top) for score in scores])[0]


def log_sum(values_V: Any) -> Any:
    """The logarithm of the sum of exponentials, with the same bits on any number of threads."""
    torch = torch_module()
    parts = [torch.logsumexp(part, -1) for part in values_V.split(_SUMMED_AT_ONCE)]
    return torch.logsumexp(torch.stack(parts), -1)


class AnswerRules:
    """The schema and the limits that the answers of one specialist keep to."""

    def __init__(
        self,
        base: LanguageModel,
        schema: AnswerSchema,
        max_slot_tokens: int,
        *,
        write_free_slots: bool,
        forms: Sequence[KeptForm] = (),
    ) -> None:
        """
        Args:
            base: the model.
            schema: how answers are written.
            max_slot_tokens: tokens after which a value is given up.
            write_free_slots: False where slots stay empty that are not compared.
            forms: of values in training.
        """
        self.base, self.schema, self.max_slot_tokens = base, schema, max_slot_tokens
        self.write_free_slots = write_free_slots
        self.recent: deque[list[int]] = deque(maxlen=RECENT)
        """Tokens of values written last; nothing but what is worth a trial is read off them."""
        self.forms: dict[SlotKey, deque[Form]] = as_written_before(forms, FORMS)
        """Of values written last, before them those of training."""
        self._tries: dict[str, Trie] = {}
        self.guides = ValueGuides(base)
        """Of values that have a form."""

    def of_schema(self, schema: AnswerSchema) -> AnswerRules:
        """The same limits for answers of another schema, with the values written before and the compiled grammars in
        common."""
        rules = AnswerRules(self.base, schema, self.max_slot_tokens, write_free_slots=self.write_free_slots)
        rules.recent, rules.guides = self.recent, self.guides
        return rules

    def trie(self, slot: Slot) -> Trie:
        """The ways to write the choices of a decision, token by token."""
        key = "\n".join(slot.choices)
        if key not in self._tries:
            root: Trie = {}
            for text in slot.choices:
                at = root
                for token in slot_ids(self.base, text):
                    at = at.setdefault(token, {})
            self._tries[key] = root
        return self._tries[key]


class AnswerRow:
    """The answer after one prompt."""

    def __init__(self, rules: AnswerRules, prompt: Sequence[int], draw: Draw | None = None) -> None:
        """
        Args:
            rules: of its specialist.
            prompt: token ids.
            draw: from log-probabilities of tokens to the place of the one that is written; None: the likeliest.
        """
        self.rules, self.prompt, self._draw = rules, list(prompt), draw
        self.builder = AnswerBuilder(rules.schema)
        self.slot: Slot | None = None
        """What is written now; None once the answer is complete or given up."""
        self.ids: list[int] = []
        """Tokens of the slot so far."""
        self.choices: Trie | None = None
        """Tokens that may come next, in a decision."""
        self.pending: list[int] = []
        """Tokens decided but not yet read by the model."""
        self.n_out = 0
        self.cut = False
        self._log_ps: list[float] = []
        self._margins: list[float] = []
        self._guide: ValueGuide | None = None
        self._guesses = Guesses()
        """The values of this slot that the forms of earlier ones make."""
        self._next_slot()

    def prediction(self) -> RawPrediction:
        """The answer and what speaks for it, once `slot` is None."""
        answer = None if self.cut else self.builder.answer()
        return RawPrediction(
            answer, RawConfidence.of(self._log_ps, self._margins), len(self.prompt), self.n_out
        )

    def trial(self, most: int) -> list[int]:
        """Tokens that may follow, by the prompt and the values written before; none inside a decision.

        Args:
            most: tokens; more are tried where earlier values agree on the whole of this one.
        """
        if self.choices is not None or self.slot is None:
            return []
        most, written = min(most, self._room), self.ids
        forced = self._guide.forced() if self._guide is not None else []
        if forced:
            return self._until_break(forced[: min(WHOLE_TRIAL, self._room)])
        guess = self._guesses.best(written)
        if guess is not None:
            many = min(WHOLE_TRIAL, self._room) if guess.is_agreed else most
            return guess.tokens[len(written) :][:many]
        if most < 1 or not written:
            return []
        # where no guess fits, what one says after the last tokens is still likelier than what the prompt does
        source = [*self.prompt, *self._guesses.usual]
        return self._until_break(draft(written, source, self.rules.recent, most))

    @property
    def _room(self) -> int:
        """Tokens that the model can read beyond those of the prompt and of the answer so far."""
        return max(0, self.rules.base.context - len(self.prompt) - self.n_out)

    def _until_break(self, follows: Sequence[int]) -> list[int]:
        newline = self.rules.base.newline
        return list(takewhile(lambda token: token != newline, follows))

    def accept(self, trial: Sequence[int], states: Sequence[tuple[Any, Any]]) -> int:
        """Decides tokens as long as the trial says the same, and the one after.

        Args:
            trial: tokens that were read on trial.
            states: before each of them and after the last the hidden state [H], and the logits [V] where a value is
                written.

        Returns:
            How many of the trial are kept.
        """
        n_kept = 0
        for at, (hidden_H, logits_V) in enumerate(states):
            self._decide(hidden_H, logits_V)
            if at == len(trial) or self.pending[:1] != [trial[at]]:
                return n_kept
            self.pending = self.pending[1:]  # it is read already
            n_kept += 1
            if self.slot is None or self.pending:
                return n_kept
        return n_kept

    def _decide(self, hidden_H: Any, logits_V: Any) -> None:
        """Decides the next token, and all tokens that follow from it."""
        torch = torch_module()
        base = self.rules.base
        if self.choices is None:
            banned_V = base.banned if self._guide is None else base.banned | self._guide.forbidden()
            if bool(banned_V.all()):  # nothing keeps the form
                self.cut, self.slot = True, None
                return
            values_V = logits_V.float().masked_fill(banned_V, float("-inf"))
            top = torch.topk(values_V, 2 if self._draw is None else min(_LIKELIEST, len(values_V)))
            scores = top.values.tolist()
            at = 0 if self._draw is None else self._draw(scores)
            rest = scores[1] if at == 0 else scores[0]
            self._take(int(top.indices[at]), scores[at] - float(log_sum(values_V)), scores[at] - rest)
            return
        allowed = list(self.choices)
        # of a decision only the choices are scored, not the whole vocabulary
        rows_CH = base.lm.get_output_embeddings().weight[allowed]
        log_p_C = torch.log_softmax(linear(hidden_H[None], rows_CH)[0].float(), dim=-1)
        best = int(log_p_C.argmax()) if self._draw is None else self._draw(log_p_C.tolist())
        others = torch.cat([log_p_C[:best], log_p_C[best + 1 :]])
        margin = float(log_p_C[best] - others.max()) if len(allowed) > 1 else _SURE
        self._take(allowed[best], float(log_p_C[best]), margin)

    def _take(self, token: int, log_p: float, margin: float) -> None:
        assert self.slot is not None
        if self.slot.role != "free":
            self._log_ps.append(log_p)
            self._margins.append(margin)
        self._append(token)
        while self.slot is not None and self.choices is not None and len(self.choices) == 1:
            self._append(next(iter(self.choices)))

    def _append(self, token: int) -> None:
        base = self.rules.base
        self.pending.append(token)
        self.n_out += 1
        if self._guide is not None:
            self._guide.take(token)
        if token != base.newline:
            self.ids.append(token)
            self.choices = self.choices[token] if self.choices is not None else None
            is_too_long = len(self.ids) >= self.rules.max_slot_tokens and self.choices is None
        else:
            self._remember()
            text = base.tokenizer.decode(self.ids, clean_up_tokenization_spaces=False)
            self.builder.put(text.removeprefix(" "))
            self._next_slot()
            is_too_long = False
        if self.slot is not None and (is_too_long or self._room == 0):
            self.cut, self.slot = True, None

    def _remember(self) -> None:
        if self.slot is not None and self.slot.role != "decision":
            self.rules.recent.appendleft(self.ids)
            forms = self.rules.forms.setdefault(self._slot_key, deque(maxlen=FORMS))
            forms.appendleft(form_of(self.ids, self.prompt))

    @property
    def _slot_key(self) -> SlotKey:
        return self.builder.action, self.slot.name if self.slot is not None else ""

    def _next_slot(self) -> None:
        self.slot, self.ids = self.builder.slot(), []
        while self.slot is not None and self.slot.role == "free" and not self.rules.write_free_slots:
            self.builder.put(self.slot.write(""))
            self.slot = self.builder.slot()
        self._guide = self.rules.guides.of(self.slot) if self.slot is not None else None
        decides = self.slot is not None and self.slot.role == "decision"
        self.choices = self.rules.trie(self.slot) if decides and self.slot is not None else None
        forms = self.rules.forms.get(self._slot_key, ()) if self.slot is not None and not decides else ()
        self._guesses = Guesses(forms, self.prompt, self.rules.max_slot_tokens) if forms else Guesses()
