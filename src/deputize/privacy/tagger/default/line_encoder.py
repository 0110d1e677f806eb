"""The default tagger's encoder, run by numpy: lines in, a probability of each type for each word out.

Shapes: N lines of a batch, T pieces of the longest with its two ends, H width, K types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.encoder_table import EncoderTable
from deputize.privacy.tagger.default.line_pieces import LinePieces, LineSplitter, Word
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.encoding import windows

PREFIX, SCALE_SUFFIX = "encoder.", ".scale"
"""Of the names of its arrays in a file of weights."""
N_HEADS = 12
MAX_PIECES, OVERLAP = 126, 32
"""Pieces that are read together, and pieces that neighbouring stretches of a long line share."""
CONTEXT = 8
"""Pieces on each side of a word that is asked about which are read with it."""
BATCH_PIECES, ENOUGH_PIECES = 1024, 384
"""Pieces of a batch at most, and those from which one ends where the stretches get longer: padding costs more than a
further batch."""
CHUNK = 512
"""Pieces whose inner vectors are worked out together: they stay in the processor's cache."""
_EPSILON = 1e-5

Floats = NDArray[np.float32]


class _PieceRange(NamedTuple):
    """Pieces [start, end) of a line."""

    line: int
    start: int
    end: int


class LineEncoder:
    """Vectors of pieces, their places and forms, layers of attention, and an output for each type. Safe to use from one
    thread."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], pieces: PieceVectors) -> None:
        """
        Args:
            weights: as save_encoder wrote them, matrices in int8 with a scale for each row; and those of EncoderTable.
            pieces: the vocabulary.
        """
        self._table = EncoderTable(weights)
        self._splitter = LineSplitter(pieces)
        self._w = _single_precision(weights)
        self._n_layers = 1 + max(int(name.split(".")[1]) for name in self._w if name.startswith("layers."))
        self._frozen = int(weights[f"{PREFIX}frozen"])
        self._n_types = len(self._w["out.bias"])

    def probabilities(
        self, lines: Sequence[str], words: Sequence[Sequence[Word]], asked: Sequence[NDArray[np.bool_]]
    ) -> list[Floats]:
        """(words, K) of each line; 0 for words that are far from all that are asked about.

        Args:
            lines: any texts.
            words: [start, end) of the words of each, from words_of.
            asked: for each word, whether it is asked about; CONTEXT pieces around such a word are read with it.
        """
        split = [self._splitter.split(line, found) for line, found in zip(lines, words, strict=True)]
        stretches = [
            _PieceRange(i, *cut)
            for i, (one, of_line) in enumerate(zip(split, asked, strict=True))
            for cut in cuts(_of_pieces(one, of_line))
        ]
        stretches.sort(key=lambda s: s.end - s.start)
        found = [np.zeros((len(one.rows), self._n_types), dtype=np.float32) for one in split]
        # where stretches of a line overlap, a piece is read off where it is farther from an edge
        depth = [np.full(len(one.rows), -1) for one in split]
        for batch in _batches(stretches):
            for s, of_stretch in zip(batch, self._read(split, batch), strict=True):
                size = s.end - s.start
                inside = np.minimum(np.arange(size), np.arange(size)[::-1])
                deeper = inside > depth[s.line][s.start : s.end]
                found[s.line][s.start : s.end][deeper] = of_stretch[1 : 1 + size][deeper]
                depth[s.line][s.start : s.end][deeper] = inside[deeper]
        return [
            _of_words(one, of_one, len(of_line))
            for one, of_one, of_line in zip(split, found, words, strict=True)
        ]

    def _read(self, split: Sequence[LinePieces], batch: Sequence[_PieceRange]) -> Floats:
        """(N, T, K): the probabilities of the pieces of stretches, each between its start and end."""
        sizes = np.array([s.end - s.start for s in batch])
        length = int(sizes.max()) + 2
        rows = np.full((len(batch), length), self._table.start, dtype=np.int64)
        forms = np.zeros((len(batch), length), dtype=np.int64)
        for i, s in enumerate(batch):
            inner = slice(1, 1 + s.end - s.start)
            rows[i, inner] = split[s.line].rows[s.start : s.end]
            forms[i, inner] = split[s.line].forms[s.start : s.end]
        rows[np.arange(len(batch)), sizes + 1] = self._table.end
        return self._run(rows, forms, sizes)

    def _run(self, rows: NDArray[np.int64], forms: NDArray[np.int64], sizes: NDArray[np.int64]) -> Floats:
        length = rows.shape[1]
        known, inverse = np.unique(rows, return_inverse=True)
        vectors = self._table.of(known)
        vectors[known == self._table.start] = self._w["edges"][0]
        vectors[known == self._table.end] = self._w["edges"][1]
        x = vectors[inverse.reshape(rows.shape)] + self._w["places"][:length]
        x = _norm(x.reshape(-1, x.shape[-1]), self._w["norm.weight"], self._w["norm.bias"])
        hidden = np.where(np.arange(length) > sizes[:, None] + 1, np.float32(-1e4), np.float32(0))
        for i in range(self._n_layers):
            if i == self._frozen:
                x += self._w["forms"][forms.ravel()]
            x = self._layer(x, hidden, f"layers.{i}")
        logits = x @ self._w["out.weight"] + self._w["out.bias"]
        out: Floats = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return out.reshape(len(rows), length, -1)

    def _layer(self, x: Floats, hidden: Floats, name: str) -> Floats:
        n, length = hidden.shape
        w, wide = self._w, x.shape[1]
        qkv = x @ w[f"{name}.qkv.weight"] + w[f"{name}.qkv.bias"]
        query, key, value = qkv.reshape(n, length, 3, N_HEADS, wide // N_HEADS).transpose(2, 0, 3, 1, 4)
        likeness = np.matmul(query * np.float32((wide // N_HEADS) ** -0.5), key.swapaxes(-1, -2))
        likeness += hidden[:, None, None, :]
        likeness -= likeness.max(axis=-1, keepdims=True)
        np.exp(likeness, out=likeness)
        likeness /= likeness.sum(axis=-1, keepdims=True)
        seen = np.matmul(likeness, value).transpose(0, 2, 1, 3).reshape(n * length, wide)
        x = _norm(
            x + seen @ w[f"{name}.mixed.weight"] + w[f"{name}.mixed.bias"],
            w[f"{name}.mixed_norm.weight"],
            w[f"{name}.mixed_norm.bias"],
        )
        out = np.empty_like(x)
        for at in range(0, len(x), CHUNK):
            part = x[at : at + CHUNK]
            inner = _gelu(part @ w[f"{name}.up.weight"] + w[f"{name}.up.bias"])
            out[at : at + CHUNK] = part + inner @ w[f"{name}.down.weight"] + w[f"{name}.down.bias"]
        return _norm(out, w[f"{name}.down_norm.weight"], w[f"{name}.down_norm.bias"])


def cuts(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, end) of stretches of pieces that are read together: those that are wanted with CONTEXT around them."""
    out: list[tuple[int, int]] = []
    places = np.flatnonzero(wanted)
    if not len(places):
        return out
    for part in np.split(places, np.flatnonzero(np.diff(places) > 2 * CONTEXT) + 1):
        first, end = max(0, int(part[0]) - CONTEXT), min(len(wanted), int(part[-1]) + CONTEXT + 1)
        out += [(first + w.start, first + w.end) for w in windows(end - first, MAX_PIECES, OVERLAP)]
    return out


def _batches(stretches: Sequence[_PieceRange]) -> Iterator[Sequence[_PieceRange]]:
    """Stretches that are read together; they come in order of their length."""
    at = 0
    for upto in range(1, len(stretches) + 1):
        if upto < len(stretches):
            before, size = (s.end - s.start + 2 for s in stretches[upto - 1 : upto + 1])
            if size * (upto - at + 1) <= BATCH_PIECES and (
                size == before or size * (upto - at) < ENOUGH_PIECES
            ):
                continue
        yield stretches[at:upto]
        at = upto


def _of_pieces(split: LinePieces, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each piece, whether one of its words is asked about."""
    before = np.concatenate([[0], np.cumsum(asked)])
    first, end = np.array(split.words, dtype=np.int64).reshape(-1, 2).T
    found: NDArray[np.bool_] = before[end] > before[first]
    return found


def _single_precision(weights: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """The encoder's arrays by name; matrices are turned so that rows of vectors are multiplied by them."""
    out = {}
    for name, array in weights.items():
        if not name.startswith(PREFIX) or name.endswith(SCALE_SUFFIX) or array.ndim == 0:
            continue
        values = array.astype(np.float32)
        if name + SCALE_SUFFIX in weights:
            values = values * weights[name + SCALE_SUFFIX].astype(np.float32)
        is_matrix = name.endswith(".weight") and values.ndim == 2
        out[name.removeprefix(PREFIX)] = np.ascontiguousarray(values.T) if is_matrix else values
    return out


def _norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    x = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt(np.einsum("ij,ij->i", x, x) / x.shape[1] + _EPSILON)
    x *= scale[:, None]
    x *= weight
    x += bias
    return x


def _gelu(x: Floats) -> Floats:
    """Hendrycks, Gimpel (2016), "Gaussian error linear units", section 2, by tanh."""
    inner = x * x
    inner *= np.float32(0.0356774081)
    inner += np.float32(0.7978845608)
    inner *= x
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner


def _of_words(split: LinePieces, of_pieces: Floats, n_words: int) -> Floats:
    """(words, K): the mean over the pieces of each word."""
    out = np.zeros((n_words, of_pieces.shape[1]), dtype=np.float32)
    if not split.words:
        return out
    first, end = np.array(split.words).T
    counts = end - first
    piece = np.repeat(np.arange(len(first)), counts)
    word = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
    # words are numbered in the order of their pieces, so that those of one word follow each other
    starts = np.flatnonzero(np.diff(word, prepend=-1))
    sums = np.add.reduceat(of_pieces[piece], starts, axis=0)
    out[word[starts]] = sums / np.diff(starts, append=len(word))[:, None]
    return out
