"""How often the words of a log are written in lower case and with a capital: a log's vocabulary may be larger than
memory.

New words come as long as a log goes on. Those counted last are here as they stand, all others as 64 bits of their hash
and two numbers; two words with one hash would be counted as one, which a log of a billion words has with a chance of
some percent.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

MOST_RECENT = 200_000
"""Words that are here as they stand."""


class WordCounts:
    """Counts of words by their case."""

    def __init__(self) -> None:
        self._recent: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._hash_N: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """Sorted."""
        self._n_N2: npt.NDArray[np.int64] = np.zeros((0, 2), dtype=np.int64)
        """In lower case, and with a capital."""

    def add(self, word: str) -> None:
        """Counts a word of letters; one in neither form counts for nothing."""
        if word.islower():
            self._recent[0][word] += 1
        elif word.istitle():
            self._recent[1][word.casefold()] += 1
        if len(self._recent[0]) + len(self._recent[1]) > MOST_RECENT:
            self._pack()

    def of(self, folded: str) -> tuple[int, int]:
        """(how often a word is in lower case, how often with a capital)."""
        lower, title = self._recent[0][folded], self._recent[1][folded]
        at = int(np.searchsorted(self._hash_N, hash(folded)))
        if at < self._hash_N.size and self._hash_N[at] == hash(folded):
            lower, title = lower + int(self._n_N2[at, 0]), title + int(self._n_N2[at, 1])
        return lower, title

    def _pack(self) -> None:
        hashes, counts = [self._hash_N], [self._n_N2]
        for column, recent in enumerate(self._recent):
            mine = np.zeros((len(recent), 2), dtype=np.int64)
            mine[:, column] = np.fromiter(recent.values(), np.int64, len(recent))
            hashes.append(np.fromiter(map(hash, recent), np.int64, len(recent)))
            counts.append(mine)
            recent.clear()
        self._hash_N, place = np.unique(np.concatenate(hashes), return_inverse=True)
        every = np.concatenate(counts)
        self._n_N2 = np.stack(
            [np.bincount(place, every[:, column], self._hash_N.size) for column in (0, 1)], axis=1
        ).astype(np.int64)
