"""A cache as a specialist: a request that came before, or one nearly like it, gets the answer that was logged.

An answer of a cache is training data, so it keeps only what several data subjects had in common: a prompt together with
its answer. Where only one had both, the pair is not kept, whatever others were answered to the same prompt.

Confidence is how alike the prompts are, times the share of the logged answers to that prompt that agree. It only orders
the answers: what is served is decided by the certificate, as for any other specialist.

Legend: N texts asked, P prompts kept.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deputize.core.contracts import fold
from deputize.core.errors import BadInput
from deputize.core.records import Answer, Record
from deputize.core.subjects import Subjects
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.hashed_features import counts_of, idf_of_counts, vectors_of_counts
from deputize.specialists.registry import StoredSpecialist

FILE = "answers.json"
LEAST_SUBJECTS = 2
"""Data subjects that must have had a prompt with its answer, where the settings ask for fewer."""
MOST_PROMPTS = 20_000
"""Kept: those asked most often."""
LEAST_ALIKE = 0.7
"""Cosine of two prompts below which one is no answer to the other."""
MOST_ALIKE = 0.99
"""Of prompts that are not the same letter for letter: a digit or the word "not" may be all the difference."""


class KnownAnswer(Record):
    """A prompt that several data subjects had, and the answer that most of its calls got."""

    text: str
    """White space folded."""
    answer: Answer
    n_calls: int
    """With this prompt, whatever they were answered."""
    n_alike: int
    """Of them, those with this answer."""

    @property
    def agreement(self) -> float:
        """Share of its calls with this answer, as far as so few can tell."""
        return (self.n_alike + 1) / (self.n_calls + 2)


def known_answers(texts: Sequence[str], answers: Sequence[Answer], subjects: Subjects) -> list[KnownAnswer]:
    """The prompts and answers that a cache may keep of some calls, the prompts asked most often first.

    Args:
        texts: pruned prompts, those of dropped duplicates included.
        answers: to them.
        subjects: of each call; fewer than LEAST_SUBJECTS are never enough.
    """
    prompts = [fold(text) for text in texts]
    pairs = [(text, _written(answer)) for text, answer in zip(prompts, answers, strict=True)]
    least = max(LEAST_SUBJECTS, subjects.least)
    shared = Subjects(subjects.names, least).shared([pair] for pair in pairs)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, Answer] = {}
    for (text, written), answer in zip(pairs, answers, strict=True):
        counts[text][written] += 1
        first.setdefault(written, answer)
    out = []
    for text, found in counts.items():
        kept = sorted((-n, written) for written, n in found.items() if (text, written) in shared)
        if kept:
            n, written = kept[0]
            out.append(KnownAnswer(text=text, answer=first[written], n_calls=found.total(), n_alike=-n))
    return sorted(out, key=lambda one: (-one.n_calls, one.text))[:MOST_PROMPTS]


def _written(answer: Answer) -> str:
    return json.dumps(answer, ensure_ascii=False, sort_keys=True, default=repr)


class CachePredictor:
    """Predicts logged answers."""

    kind = "cache"

    def __init__(self, known: Sequence[KnownAnswer]) -> None:
        """
        Args:
            known: what it keeps, at least one.
        """
        self.known = list(known)
        self._place = {one.text: at for at, one in enumerate(self.known)}

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order; no answer where no prompt is like it."""
        folded = [fold(text) for text in texts]
        places = [self._place.get(text) for text in folded]
        strange = [n for n, at in enumerate(places) if at is None]
        near = dict(zip(strange, self._nearest([folded[n] for n in strange]), strict=True))
        out = []
        for n, at in enumerate(places):
            place, alike = (at, 1.0) if at is not None else near[n]
            if alike < LEAST_ALIKE:
                out.append(RawPrediction(None, RawConfidence.of([-math.inf], [0.0])))
                continue
            one = self.known[place]
            odds = math.log(one.agreement / (1 - one.agreement))
            raw = RawConfidence(math.log(alike * one.agreement), alike, odds)
            out.append(RawPrediction(one.answer, raw))
        return out

    def _nearest(self, texts: Sequence[str]) -> list[tuple[int, float]]:
        """(place of the prompt most like it, how alike they are) of each text."""
        if not texts:
            return []
        vectors_PF, idf_F = self._vectors
        alike_NP = np.asarray((vectors_of_counts(counts_of(texts), idf_F) @ vectors_PF.T).todense())
        best_N = alike_NP.argmax(axis=1)
        return [(int(at), min(MOST_ALIKE, float(row[at]))) for at, row in zip(best_N, alike_NP, strict=True)]

    @cached_property
    def _vectors(self) -> tuple[Any, Any]:
        """(vectors of the prompts kept, weights of their n-grams): of nothing that is not kept."""
        counts_PF = counts_of([one.text for one in self.known])
        idf_F = idf_of_counts(counts_PF)
        return vectors_of_counts(counts_PF, idf_F), idf_F

    def save(self, folder: Path) -> None:
        """Writes what it keeps, in clear."""
        (folder / FILE).write_bytes(msgspec.json.encode(self.known))


def load_cache(stored: StoredSpecialist) -> CachePredictor:
    """The predictor of a stored specialist of kind "cache".

    Raises:
        BadInput: its file cannot be read.
    """
    path = stored.folder / FILE
    try:
        return CachePredictor(msgspec.json.decode(path.read_bytes(), type=list[KnownAnswer]))
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
