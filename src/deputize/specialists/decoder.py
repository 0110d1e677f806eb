"""The generate reader: writes an answer slot by slot, greedily, in a batch, every decision inside its closed set.

Tokens that can only be one thing (the rest of a label, the break after it) are fed but never sampled. Values are
mostly copied out of the prompt, so what follows there is fed on trial, several tokens in one pass, and kept as far as
the model would have written the same: the answer is that of plain greedy decoding. A trial that fails stays in the
cache as a masked hole.

Legend: B rows of a batch, T tokens, L tokens fed in one pass, V vocabulary.

References:
    Leviathan et al., "Fast inference from transformers via speculative decoding", arXiv 2211.17192 (here with the
    prompt as the draft model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.head import batches, padded
from deputize.specialists.language_model import LanguageModel, torch_module

Trie = dict[int, Any]

MAX_TRIAL = 8
"""Tokens copied from the prompt on trial in one pass; fewer in a batch on a CPU, where each costs its share."""


def slot_ids(base: LanguageModel, text: str) -> list[int]:
    """The tokens of a slot: its text after a blank, as it would stand in running text, and the break that ends it."""
    return [*base.ids(" " + text), base.newline]


@dataclass
class _Row:
    """One answer in the making."""

    writing: AnswerBuilder
    slot: Slot | None
    prompt: list[int]
    prose: bool = True
    ids: list[int] = field(default_factory=list)
    """Tokens of the slot so far."""
    trie: Trie | None = None
    log_ps: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Tokens decided but not yet fed to the model."""
    n_out: int = 0
    cut: bool = False


class DecoderPredictor:
    """Reads answers by decoding."""

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        form: AnswerSchema,
        max_tokens: int,
        max_slot_tokens: int,
        max_trial: int = MAX_TRIAL,
    ) -> None:
        self.base, self.adapter, self.form = base, adapter, form
        self.max_tokens, self.max_slot_tokens, self.max_trial = max_tokens, max_slot_tokens, max_trial
        self.n_passes = 0
        """Passes through the model since it was loaded."""
        self._tries: dict[str, Trie] = {}

    def read(self, texts: Sequence[str], tokens: int = 4096, *, prose: bool = True) -> list[RawPrediction]:
        """One reading per text, in order; without `prose` free slots stay empty."""
        torch = torch_module()
        if self.adapter:
            self.base.use(self.adapter)
        prompts = self.base.prompt_ids(texts, self.max_tokens)
        out: dict[int, RawPrediction] = {}
        with torch.inference_mode():
            for batch in batches([len(p) for p in prompts], tokens):
                with self.base.threads["read"].work(sum(len(prompts[i]) for i in batch)):
                    rows = self._write([prompts[i] for i in batch], prose)
                for i, row in zip(batch, rows, strict=True):
                    answer = None if row.cut else row.writing.answer()
                    out[i] = RawPrediction(
                        answer, RawConfidence.of(row.log_ps, row.margins), len(prompts[i]), row.n_out
                    )
        return [out[i] for i in range(len(texts))]

    def _write(self, prompts: list[list[int]], prose: bool) -> list[_Row]:
        torch = torch_module()
        rows = [_Row(AnswerBuilder(self.form), None, prompt, prose) for prompt in prompts]
        for row in rows:
            self._next_slot(row)
        live = [i for i, row in enumerate(rows) if row.slot is not None]
        if not live:
            return rows
        ids_BT, mask_BT, positions_BT = padded(self.base, [prompts[i] for i in live])
        out = self.base.decoder(
            input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=True
        )
        cache, lengths = out.past_key_values, [int(n) for n in mask_BT.sum(1)]
        project = self.base.lm.get_output_embeddings()
        for row, logits_V in zip(
            [rows[i] for i in live], project(out.last_hidden_state[:, -1]).float(), strict=True
        ):
            self._decide(row, logits_V)
        while True:
            stay = [at for at, i in enumerate(live) if rows[i].slot is not None]
            if not stay:
                return rows
            if len(stay) < len(live):
                live = [live[at] for at in stay]
                kept = torch.tensor(stay, device=mask_BT.device)
                cache.batch_select_indices(kept)
                mask_BT, lengths = mask_BT[kept], [lengths[at] for at in stay]
            most = self.max_trial if self.base.device != "cpu" else min(self.max_trial, 24 // len(live))
            self.n_passes += 1
            fed = [rows[i].pending for i in live]
            trials = [self._trial(rows[i], most) for i in live]
            longest = max(len(f) + len(t) for f, t in zip(fed, trials, strict=True))
            ids_BL = torch.full((len(live), longest), self.base.pad, device=mask_BT.device)
            block_BL = torch.zeros_like(ids_BL)
            for b, (one, trial) in enumerate(zip(fed, trials, strict=True)):
                ids_BL[b, : len(one) + len(trial)] = torch.tensor([*one, *trial])
                block_BL[b, : len(one) + len(trial)] = 1
            n_before = mask_BT.shape[1]
            mask_BT = torch.cat([mask_BT, block_BL], dim=1)
            start_B1 = torch.tensor(lengths, device=mask_BT.device)[:, None]
            out = self.base.decoder(
                input_ids=ids_BL,
                attention_mask=mask_BT,
                position_ids=start_B1 + torch.arange(longest, device=mask_BT.device),
                past_key_values=cache,
                use_cache=True,
            )
            where = [(b, len(fed[b]) - 1 + k) for b in range(len(live)) for k in range(len(trials[b]) + 1)]
            hidden = out.last_hidden_state[[b for b, _ in where], [t for _, t in where]]
            logits = iter(project(hidden).float())
            for b, i in enumerate(live):
                row, trial, n_fed = rows[i], trials[b], len(fed[b])
                row.pending = []
                mine = [next(logits) for _ in range(len(trial) + 1)]
                kept_trial = 0
                for at, logits_V in enumerate(mine):
                    self._decide(row, logits_V)
                    if at < len(trial) and row.pending[:1] == [trial[at]]:
                        # the trial said the same: it is fed already
                        row.pending = row.pending[1:]
                        kept_trial += 1
                        if row.slot is not None and not row.pending:
                            continue
                    break
                lengths[b] += n_fed + kept_trial
                mask_BT[b, n_before + n_fed + kept_trial :] = 0

    def _trial(self, row: _Row, most: int) -> list[int]:
        """What follows in the prompt where it last read as the value does so far; nothing inside a decision."""
        if most < 1 or row.trie is not None or row.slot is None or not row.ids:
            return []
        for n in (3, 2, 1):
            tail = row.ids[-n:]
            if len(tail) < n:
                continue
            for at in range(len(row.prompt) - n - 1, -1, -1):
                if row.prompt[at : at + n] == tail:
                    return [t for t in row.prompt[at + n : at + n + most] if t != self.base.newline]
        return []

    def _decide(self, row: _Row, logits_V: Any) -> None:
        """Decides the next token of a row, and all tokens that follow from it."""
        torch = torch_module()
        if row.trie is None:
            values_V = logits_V.masked_fill(self.base.banned, float("-inf"))
            top = torch.topk(values_V, 2)
            first, second = top.values.tolist()
            self._take(row, int(top.indices[0]), first - float(torch.logsumexp(values_V, -1)), first - second)
            return
        allowed = list(row.trie)
        log_p = torch.log_softmax(logits_V[allowed], dim=-1)
        best = int(log_p.argmax())
        rest = torch.cat([log_p[:best], log_p[best + 1 :]])
        margin = float(log_p[best] - rest.max()) if len(allowed) > 1 else 30.0
        self._take(row, allowed[best], float(log_p[best]), margin)

    def _take(self, row: _Row, token: int, log_p: float, margin: float) -> None:
        assert row.slot is not None
        if row.slot.role != "free":
            row.log_ps.append(log_p)
            row.margins.append(margin)
        self._append(row, token)
        while row.slot is not None and row.trie is not None and len(row.trie) == 1:
            self._append(row, next(iter(row.trie)))

    def _append(self, row: _Row, token: int) -> None:
        row.pending.append(token)
        row.n_out += 1
        if token != self.base.newline:
            row.ids.append(token)
            row.trie = row.trie[token] if row.trie is not None else None
            if len(row.ids) >= self.max_slot_tokens and row.trie is None:
                row.cut, row.slot = True, None
            return
        text = self.base.tokenizer.decode(row.ids, clean_up_tokenization_spaces=False)
        row.writing.put(text.removeprefix(" "))
        self._next_slot(row)

    def _next_slot(self, row: _Row) -> None:
        row.slot, row.ids = row.writing.slot(), []
        while row.slot is not None and row.slot.role == "free" and not row.prose:
            row.writing.put(row.slot.write(""))
            row.slot = row.writing.slot()
        row.trie = self._trie(row.slot) if row.slot is not None and row.slot.role == "decision" else None

    def _trie(self, slot: Slot) -> Trie:
        key = "\n".join(slot.choices)
        if key not in self._tries:
            root: Trie = {}
            for text in slot.choices:
                at = root
                for token in slot_ids(self.base, text):
                    at = at.setdefault(token, {})
            self._tries[key] = root
        return self._tries[key]
