"""Answers of the specialists of one base model, written together: each pass goes one step further in all of them.

An answer that comes while others are being written joins them at the next pass, one that is complete leaves.

References:
    Yu et al., "Orca: a distributed serving system for transformer-based generative models", OSDI 2022 (batches by
    pass). Leviathan et al., "Fast inference from transformers via speculative decoding", arXiv 2211.17192 (here with
    the prompt as the draft model).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from deputize.specialists.answer_row import AnswerRow
from deputize.specialists.base import RawPrediction
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.llama_stack import linear
from deputize.specialists.model_rows import LoadedAdapter, ModelRows
from deputize.specialists.torch_runtime import torch_module

MAX_TRIAL = 8
"""Tokens read on trial in one pass, fewer in a batch on a CPU, where each costs its share; more where earlier values
agree on the whole of a value."""
TOKENS_OF_A_PASS = 64
"""On a CPU, as long as a pass over them costs little more than a pass over one."""
TOKENS_AHEAD = 4096
"""Of prompts read in one pass."""

TOKENS_KEPT = 32_768
"""Of all rows together whose keys and values are in memory, each row counted as long as the longest; further answers
wait. One is always written."""
ROW_AHEAD = 128
"""Tokens of a row beyond its prompt."""


class WrittenAnswer(NamedTuple):
    """An answer to be written."""

    row: AnswerRow
    adapter: Any
    """As the rows of the model take it."""
    told: Callable[[RawPrediction], None]
    """Called with the answer."""
    waits: Callable[[], bool]
    """False once nobody waits for it any more."""


class JointWriting:
    """The answers that are being written with one base model. Of one thread."""

    def __init__(self, base: LanguageModel, rows: ModelRows, max_trial: int = MAX_TRIAL) -> None:
        self.base, self.max_trial = base, max_trial
        self.n_passes = 0
        """Passes through the model, without those over prompts."""
        self._rows = rows
        self._answers: list[WrittenAnswer] = []
        self._later: list[WrittenAnswer] = []
        """Those for which there is no room yet, oldest first."""

    def __len__(self) -> int:
        """Answers that are being written, or wait for room."""
        return len(self._answers) + len(self._later)

    @property
    def n_read(self) -> int:
        """Tokens read, of prompts too."""
        return self._rows.n_read

    @property
    def takes_more(self) -> bool:
        """True where answers may join the others now."""
        return self._rows.takes_more or not self._answers

    def add(self, answers: Sequence[WrittenAnswer]) -> None:
        """Reads the prompts of answers and decides their first tokens."""
        new = [one for one in answers if one.row.slot is not None]
        for one in answers:
            if one.row.slot is None:  # nothing varies
                one.told(one.row.prediction())
        if self._rows.takes_more:
            self._later += new
            self._admit()
        elif new:
            self._read(new)

    def _admit(self) -> None:
        """Reads the prompts of waiting answers, as many as there is room for."""
        longest, new = max((len(one.row.prompt) for one in self._answers), default=0), list[WrittenAnswer]()
        while self._later:
            longest = max(longest, len(self._later[0].row.prompt))
            n_rows = len(self._answers) + len(new) + 1
            if n_rows > 1 and n_rows * (longest + ROW_AHEAD) > TOKENS_KEPT:
                break
            new.append(self._later.pop(0))
        ahead = _first_of_each(new)
        for part in (ahead, [one for one in new if one not in ahead]):
            for chunk in _chunks(part):
                self._read(chunk)

    def step(self) -> None:
        """One pass: reads what is pending and what is tried, and decides the next tokens of each answer."""
        self._drop(lambda one: one.row.slot is None or not one.waits())
        if self._later:
            self._later = [one for one in self._later if one.waits()]
            self._admit()
        if not self._answers:
            return
        rows = [one.row for one in self._answers]
        fed = [row.pending for row in rows]
        trials = self._trials(rows)
        self.n_passes += 1
        with torch_module().inference_mode():
            amount = sum(map(len, fed)) + sum(map(len, trials))
            with self.base.threads["read"].work(amount):
                read = self._rows.feed([one + more for one, more in zip(fed, trials, strict=True)])
                n_kept = self._decide(rows, fed, trials, read)
            self._rows.count([len(one) + kept for one, kept in zip(fed, n_kept, strict=True)])
        self._tell()

    def finish(self) -> None:
        """Writes all answers to their end."""
        while len(self):
            self.step()

    def _read(self, new: Sequence[WrittenAnswer]) -> None:
        with torch_module().inference_mode():
            rows = [one.row for one in new]
            prompts, before = [row.prompt for row in rows], len(self._answers)
            trials = self._trials(rows) if self._rows.takes_more else [[] for _ in rows]
            with self.base.threads["read"].work(sum(map(len, [*prompts, *trials]))):
                hidden_NH = self._rows.add(prompts, [one.adapter for one in new], trials)
                self._answers += new
                n_kept = self._decide(rows, [[0]] * len(rows), trials, hidden_NH)
            if any(n_kept):
                self._rows.count([0] * before + n_kept)
        self._tell()

    def _decide(
        self, rows: Sequence[AnswerRow], fed: Sequence[list[int]], trials: Sequence[list[int]], read: Any
    ) -> list[int]:
        """Decides the tokens of each row; how many tokens of each trial are kept."""
        places: list[list[int]] = []
        at = 0
        for one, trial in zip(fed, trials, strict=True):
            at += len(one)
            places.append([at - 1 + k for k in range(len(trial) + 1)])
            at += len(trial)
        # rows that write a value need the scores of the whole vocabulary: one product for all of them
        whole = [n for row, found in zip(rows, places, strict=True) if row.choices is None for n in found]
        scores = {}
        if whole:
            head = self.base.lm.get_output_embeddings().weight
            logits = linear(read[whole], head)
            scores = {n: logits[k] for k, n in enumerate(whole)}
        n_kept = []
        for row, trial, found in zip(rows, trials, places, strict=True):
            row.pending = []
            n_kept.append(row.accept(trial, [(read[n], scores.get(n)) for n in found]))
        return n_kept

    def _trials(self, rows: Sequence[AnswerRow]) -> list[list[int]]:
        """The tokens read on trial in the next pass, none at all where `max_trial` is 0."""
        most, n_rows = self.max_trial, max(len(rows), len(self._answers))
        if self.base.device == "cpu":
            most = min(most, max(0, TOKENS_OF_A_PASS // n_rows - 1))
        return [row.trial(most) if self.max_trial else [] for row in rows]

    def _tell(self) -> None:
        """Gives the complete answers to those who wait, and lets go of their rows."""
        done = [one for one in self._answers if one.row.slot is None]
        self._drop(lambda one: one.row.slot is None)
        for one in done:
            one.told(one.row.prediction())

    def _drop(self, goes: Callable[[WrittenAnswer], bool]) -> None:
        stay = [at for at, one in enumerate(self._answers) if not goes(one)]
        if len(stay) < len(self._answers):
            with torch_module().inference_mode():
                self._rows.keep(stay)
            self._answers = [self._answers[at] for at in stay]


def _first_of_each(answers: Sequence[WrittenAnswer]) -> list[WrittenAnswer]:
    """For each adapter that knows no shared beginning yet its first answer: the others then begin with what they
    share."""
    ahead: dict[int, WrittenAnswer] = {}
    for one in answers:
        if isinstance(one.adapter, LoadedAdapter) and not one.adapter.prefix.ids:
            ahead.setdefault(id(one.adapter), one)
    return list(ahead.values())


def _chunks(answers: Sequence[WrittenAnswer]) -> list[list[WrittenAnswer]]:
    """Answers whose prompts are read in one pass."""
    out: list[list[WrittenAnswer]] = []
    tokens = TOKENS_AHEAD
    for one in answers:
        tokens += len(one.row.prompt)
        if tokens > TOKENS_AHEAD:
            out.append([])
            tokens = len(one.row.prompt)
        out[-1].append(one)
    return out
