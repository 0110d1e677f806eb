"""Vectors of parts of words from a pretrained multilingual encoder, by which words of many languages that mean like
things are near.

The parts are those of the encoder's unigram vocabulary; a word is split into the likeliest ones. Nothing of the encoder
is run: the vectors with which it begins were reduced to a few numbers once (encoder_pieces).
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.words import MAX_WORD, is_single

TEXT, SCORES, VECTORS, SCALE = "pieces.text", "pieces.scores", "pieces.vectors", "pieces.scale"
"""Names of the arrays of a file of weights."""
WORD_START = "\u2581"
UNKNOWN_PENALTY = 10.0
"""A character that is no piece costs so much more than the unlikeliest one (Kudo 2018, "Subword regularization", as
XLM-R has it)."""
_NO_BLANKS = ("\u30a0", "\u30ff")
"""Words of Katakana follow each other without blanks, so none begins with one."""


class PieceRows(NamedTuple):
    """Rows of the table of vectors for one word; row 0 is nothing."""

    first: int
    last: int
    all: tuple[int, ...]


class PieceVectors:
    """A vocabulary of pieces and a vector for each; D numbers a vector."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """
        Args:
            arrays: TEXT: the pieces in UTF-8, one a line; SCORES: their log-probabilities; VECTORS: int8, a row for
                each of the first pieces after row 0, which is nothing (pieces after those are for the encoder only);
                SCALE: one number a row.
        """
        pieces = arrays[TEXT].tobytes().decode("utf-8").split("\n")
        self._row_of = {piece: row for row, piece in enumerate(pieces, 1)}
        self._vectors = arrays[VECTORS]
        self._rows = len(self._vectors)
        worst = float(arrays[SCORES][: self._rows - 1].min())
        self._scores = array("f", [worst - UNKNOWN_PENALTY, *arrays[SCORES].tolist()])
        self._longest = max(map(len, pieces))
        self._scale = arrays[SCALE].astype(np.float32)
        self.width = 3 * int(self._vectors.shape[1])

    def features(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """(len(keys), 3 D): the first piece of each word, the last one, and the mean of all."""
        rows = [self.rows(key) for key in keys]
        counts = np.array([len(r.all) for r in rows])
        flat = np.array([row for r in rows for row in r.all])
        mean = (
            np.add.reduceat(self._of(flat), np.concatenate([[0], np.cumsum(counts)[:-1]])) / counts[:, None]
        )
        first = self._of(np.array([r.first for r in rows]))
        last = self._of(np.array([r.last for r in rows]))
        return np.concatenate([first, last, mean], axis=1, dtype=np.float32)

    def rows(self, key: str) -> PieceRows:
        """The rows of a word from its key (words.feature_key)."""
        if is_single(key):
            return self._of_single(key)
        found = [row for row, _ in self.split(_text_of(key[:MAX_WORD])) if 0 < row < self._rows] or [0]
        return PieceRows(found[0], found[-1], tuple(found))

    def _of_single(self, key: str) -> PieceRows:
        """A character of a script without blanks: with the one before it, with the one after it, and both."""
        char = self._row(key[1])
        before, after, both = self._row(key[:2]), self._row(key[1:]), self._row(key)
        return PieceRows(before or char, after or char, tuple(row for row in (char, both) if row) or (0,))

    def _row(self, piece: str) -> int:
        row = self._row_of.get(piece, 0)
        return row if row < self._rows else 0

    def _of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._vectors[rows].astype(np.float32) * self._scale[rows]
        return out

    def split(self, text: str, longest: int = MAX_WORD) -> list[tuple[int, int]]:
        """(row, characters) of each of the likeliest pieces of a text; row 0 for a character that is none."""
        size, longest = len(text), min(longest, self._longest)
        best = [0.0] + [-np.inf] * size
        came: list[tuple[int, int]] = [(0, 0)] * (size + 1)
        row_of, scores = self._row_of, self._scores
        for start in range(size):
            for end in range(start + 1, min(size, start + longest) + 1):
                row = row_of.get(text[start:end], 0)
                if not row and end > start + 1:
                    continue
                score = best[start] + scores[row]
                if score > best[end]:
                    best[end], came[end] = score, (start, row)
        out, at = [], size
        while at > 0:
            start, row = came[at]
            out.append((row, at - start))
            at = start
        return out[::-1]


def _text_of(word: str) -> str:
    """A word as the vocabulary holds it: capitals beyond the first are told by other features."""
    text = unicodedata.normalize("NFKC", word)
    if len(text) > 3 and text.isupper():
        text = text.capitalize()
    return text if _NO_BLANKS[0] <= text[:1] <= _NO_BLANKS[1] else WORD_START + text
