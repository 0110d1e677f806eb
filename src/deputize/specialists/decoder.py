"""A language model that writes an answer slot by slot, greedily, in a batch, every decision inside its closed set.

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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.classification_head import batches, padded
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import load_tuned_model, release_tuned_model

Trie = dict[int, Any]

MAX_TRIAL = 8
"""Tokens copied from the prompt on trial in one pass; fewer in a batch on a CPU, where each costs its share."""


@dataclass
class _Row:
    """One answer in the making."""

    builder: AnswerBuilder
    slot: Slot | None
    prompt: list[int]
    ids: list[int] = field(default_factory=list)
    """Tokens of the slot so far."""
    trie: Trie | None = None
    log_ps: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Tokens decided but not yet fed to the model."""
    n_out: int = 0
    cut: bool = False


@dataclass
class _Batch:
    """The rows that are still being written, with the model's cache of what they were fed."""

    rows: list[_Row]
    cache: Any
    mask_BT: Any
    lengths: list[int]
    """Per row the tokens in the cache that count."""

    def drop_finished(self) -> bool:
        """Leaves out rows that are complete; False where none is left."""
        stay = [at for at, row in enumerate(self.rows) if row.slot is not None]
        if stay and len(stay) < len(self.rows):
            self.rows = [self.rows[at] for at in stay]
            kept = torch_module().tensor(stay, device=self.mask_BT.device)
            self.cache.batch_select_indices(kept)
            self.mask_BT, self.lengths = self.mask_BT[kept], [self.lengths[at] for at in stay]
        return bool(stay)


class DecoderPredictor:
    """Predicts answers by decoding."""

    kind = "decoder"

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        schema: AnswerSchema,
        max_tokens: int,
        max_slot_tokens: int,
        max_trial: int = MAX_TRIAL,
        *,
        write_free_slots: bool = True,
    ) -> None:
        self.base, self.adapter, self.schema = base, adapter, schema
        self.max_tokens, self.max_slot_tokens, self.max_trial = max_tokens, max_slot_tokens, max_trial
        self.write_free_slots = write_free_slots
        """Slots that are not compared stay empty where this is False."""
        self.n_passes = 0
        """Passes through the model since it was loaded."""
        self._tries: dict[str, Trie] = {}

    def without_free_slots(self) -> DecoderPredictor:
        """The same predictor with slots left empty that are not compared."""
        return DecoderPredictor(
            self.base,
            self.adapter,
            self.schema,
            self.max_tokens,
            self.max_slot_tokens,
            self.max_trial,
            write_free_slots=False,
        )

    @property
    def engine(self) -> str:
        return self.base.engine

    @property
    def depends_on_batch(self) -> bool:
        return self.base.depends_on_batch

    def release(self) -> None:
        """Frees the adapter, or the whole tuned model."""
        release_tuned_model(self.base, self.adapter)

    def save(self, folder: Path) -> None:
        """Writes nothing: the adapter or the tuned model is all there is."""

    def predict(self, texts: Sequence[str], tokens: int = 4096) -> list[RawPrediction]:
        """One prediction per text, in order."""
        torch = torch_module()
        if self.adapter:
            self.base.use(self.adapter)
        prompts = self.base.prompt_ids(texts, self.max_tokens)
        out: dict[int, RawPrediction] = {}
        with torch.inference_mode():
            for batch in batches([len(p) for p in prompts], tokens):
                with self.base.threads["read"].work(sum(len(prompts[i]) for i in batch)):
                    rows = self._write([prompts[i] for i in batch])
                for i, row in zip(batch, rows, strict=True):
                    answer = None if row.cut else row.builder.answer()
                    confidence = RawConfidence.of(row.log_ps, row.margins)
                    out[i] = RawPrediction(answer, confidence, len(prompts[i]), row.n_out)
        return [out[i] for i in range(len(texts))]

    def _write(self, prompts: list[list[int]]) -> list[_Row]:
        rows = [_Row(AnswerBuilder(self.schema), None, prompt) for prompt in prompts]
        for row in rows:
            self._next_slot(row)
        live = [row for row in rows if row.slot is not None]
        if live:
            batch = self._prefill(live)
            while batch.drop_finished():
                self._advance(batch)
        return rows

    def _prefill(self, rows: list[_Row]) -> _Batch:
        """Feeds the prompts, and decides the first token of each row."""
        ids_BT, mask_BT, positions_BT = padded(self.base, [row.prompt for row in rows])
        out = self.base.decoder(
            input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=True
        )
        logits_BV = self.base.lm.get_output_embeddings()(out.last_hidden_state[:, -1]).float()
        for row, logits_V in zip(rows, logits_BV, strict=True):
            self._decide(row, logits_V)
        return _Batch(rows, out.past_key_values, mask_BT, [int(n) for n in mask_BT.sum(1)])

    def _advance(self, batch: _Batch) -> None:
        """One pass: feeds what is pending and what is tried, and decides the next tokens of each row."""
        rows = batch.rows
        most = self.max_trial if self.base.device != "cpu" else min(self.max_trial, 24 // len(rows))
        fed = [row.pending for row in rows]
        trials = [self._trial(row, most) for row in rows]
        n_before = batch.mask_BT.shape[1]
        logits = self._pass(batch, fed, trials)
        for b, row in enumerate(rows):
            row.pending = []
            n_kept = self._accept(row, trials[b], [next(logits) for _ in range(len(trials[b]) + 1)])
            batch.lengths[b] += len(fed[b]) + n_kept
            batch.mask_BT[b, n_before + len(fed[b]) + n_kept :] = 0

    def _pass(self, batch: _Batch, fed: list[list[int]], trials: list[list[int]]) -> Iterator[Any]:
        """Logits [V] after each row's last fed token and after each of its tried ones, row by row."""
        torch = torch_module()
        self.n_passes += 1
        device, n_rows = batch.mask_BT.device, len(fed)
        longest = max(len(f) + len(t) for f, t in zip(fed, trials, strict=True))
        ids_BL = torch.full((n_rows, longest), self.base.pad, device=device)
        block_BL = torch.zeros_like(ids_BL)
        for b, (one, trial) in enumerate(zip(fed, trials, strict=True)):
            ids_BL[b, : len(one) + len(trial)] = torch.tensor([*one, *trial])
            block_BL[b, : len(one) + len(trial)] = 1
        batch.mask_BT = torch.cat([batch.mask_BT, block_BL], dim=1)
        start_B1 = torch.tensor(batch.lengths, device=device)[:, None]
        out = self.base.decoder(
            input_ids=ids_BL,
            attention_mask=batch.mask_BT,
            position_ids=start_B1 + torch.arange(longest, device=device),
            past_key_values=batch.cache,
            use_cache=True,
        )
        where = [(b, len(fed[b]) - 1 + k) for b in range(n_rows) for k in range(len(trials[b]) + 1)]
        hidden = out.last_hidden_state[[b for b, _ in where], [t for _, t in where]]
        return iter(self.base.lm.get_output_embeddings()(hidden).float())

    def _accept(self, row: _Row, trial: list[int], logits: list[Any]) -> int:
        """Decides tokens as long as the trial says the same, and the one after; how many of the trial are kept."""
        n_kept = 0
        for at, logits_V in enumerate(logits):
            self._decide(row, logits_V)
            if at == len(trial) or row.pending[:1] != [trial[at]]:
                return n_kept
            row.pending = row.pending[1:]  # it is fed already
            n_kept += 1
            if row.slot is None or row.pending:
                return n_kept
        return n_kept

    def _trial(self, row: _Row, most: int) -> list[int]:
        """Tokens that follow in the prompt where it last reads as the value does so far; none inside a decision."""
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
        row.builder.put(text.removeprefix(" "))
        self._next_slot(row)

    def _next_slot(self, row: _Row) -> None:
        row.slot, row.ids = row.builder.slot(), []
        while row.slot is not None and row.slot.role == "free" and not self.write_free_slots:
            row.builder.put(row.slot.write(""))
            row.slot = row.builder.slot()
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


def load_decoder(stored: StoredSpecialist) -> DecoderPredictor:
    """The predictor of a stored specialist of kind "decoder"."""
    base, adapter = load_tuned_model(stored)
    settings = stored.settings
    return DecoderPredictor(base, adapter, settings.schema, settings.max_tokens, settings.max_slot_tokens)
