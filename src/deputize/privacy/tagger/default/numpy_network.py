"""The default tagger's network, run by numpy: lines in, a probability of each type for each word out.

Shapes: T words of a batch of lines, H width, K types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.words import Features, boundaries_of, feature_key, features_of, words_of

BATCH_WORDS = 6000
MAX_CACHED = 120_000
"""Words whose vectors are kept; 60 MB."""

Floats = NDArray[np.float32]
LineScores = tuple[list[tuple[int, int]], Floats]
"""[start, end) of each word of a line; probabilities (words, K)."""


class NumpyNetwork:
    """Tables of vectors and of pretrained pieces, a mean over the line, and residual gated convolutions over words."""

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        dilations: Sequence[int],
        pieces: PieceVectors | None = None,
    ) -> None:
        """
        Args:
            weights: as save_arrays wrote them: tables in int8 with a scale for each row, and the pieces.
            dilations: of the convolutions.
            pieces: the table of pieces where it is there already.
        """
        self._tables = [weights[f"tables.{i}.weight"] for i in range(4)]
        self._scales = [weights[f"tables.{i}.weight.scale"].astype(np.float32) for i in range(4)]
        rest = {
            name: a.astype(np.float32)
            for name, a in weights.items()
            if not name.startswith(("tables.", "pieces.", "table.", "encoder."))
        }
        self._w = rest
        self._pieces = pieces or PieceVectors(weights)
        self._dilations = tuple(dilations)
        self._width = len(rest["project.bias"])
        self._convs = [np.ascontiguousarray(rest[f"convs.{i}.weight"].T) for i in range(len(self._dilations))]
        self._rows: dict[str, int] = {}
        self._vectors: Floats = np.zeros((1024, self._width), dtype=np.float32)

    def scores(self, lines: Sequence[str]) -> list[LineScores]:
        """The words of each line and their probabilities."""
        out: list[LineScores] = []
        nothing = np.zeros((0, len(self._w["out.bias"])), dtype=np.float32)
        split = [words_of(line) for line in lines]
        at = 0
        while at < len(lines):
            upto, size = at, 0
            while upto < len(lines) and (upto == at or size + len(split[upto]) <= BATCH_WORDS):
                size += len(split[upto])
                upto += 1
            filled = [i for i in range(at, upto) if split[i]]
            found = self._batch([(lines[i], split[i]) for i in filled]) if filled else []
            by_line = dict(zip(filled, found, strict=True))
            out += [(split[i], by_line.get(i, nothing)) for i in range(at, upto)]
            at = upto
        return out

    def _batch(self, lines: Sequence[tuple[str, list[tuple[int, int]]]]) -> list[Floats]:
        """Probabilities for lines that have words."""
        sizes = np.array([len(words) for _, words in lines])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        line_of = np.repeat(np.arange(len(lines)), sizes)
        rows = self._cached([feature_key(line, *word) for line, words in lines for word in words])
        boundaries = np.array([b for line, words in lines for b in boundaries_of(line, words)])
        x = self._vectors[rows] + self._w["boundary.weight"][boundaries]
        mean = np.add.reduceat(x, starts, axis=0) / sizes[:, None].astype(np.float32)
        mean = mean @ self._w["line.weight"].T + self._w["line.bias"]
        x = self._norm(np.maximum(x + mean[line_of], 0), "first_norm")
        joined = np.empty((len(x), 3 * self._width), dtype=np.float32)
        for i, dilation in enumerate(self._dilations):
            x = self._convolved(x, joined, line_of, i, dilation)
        logits = x @ self._w["out.weight"].T + self._w["out.bias"]
        found: list[Floats] = np.split(_sigmoid(logits), starts[1:])
        return found

    def _convolved(self, x: Floats, joined: Floats, line_of: NDArray[Any], i: int, dilation: int) -> Floats:
        """One convolution over words that are `dilation` apart and in one line."""
        wide = self._width
        joined[:, :wide] = 0
        joined[:, 2 * wide :] = 0
        joined[:, wide : 2 * wide] = x
        if len(x) > dilation:
            same = (line_of[dilation:] == line_of[:-dilation]).astype(np.float32)[:, None]
            joined[dilation:, :wide] = x[:-dilation] * same
            joined[:-dilation, 2 * wide :] = x[dilation:] * same
        y = joined @ self._convs[i] + self._w[f"convs.{i}.bias"]
        return self._norm(x + y[:, :wide] * _sigmoid(y[:, wide:]), f"norms.{i}")

    def _norm(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(axis=1, keepdims=True)
        scale = 1 / np.sqrt(np.einsum("ij,ij->i", x, x) / self._width + 1e-5)
        out: Floats = x * scale[:, None] * self._w[f"{name}.weight"] + self._w[f"{name}.bias"]
        return out

    def _cached(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """For each key the row of its vector."""
        if len(self._rows) + len(keys) > MAX_CACHED:
            self._rows.clear()
        fresh = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if fresh:
            vectors = self._projected([features_of(key) for key in fresh])
            vectors += self._pieces.features(fresh) @ self._w["from_pieces.weight"].T
            first = len(self._rows)
            if first + len(fresh) > len(self._vectors):
                room = max(2 * len(self._vectors), first + len(fresh))
                grown = np.zeros((room, self._width), dtype=np.float32)
                grown[:first] = self._vectors[:first]
                self._vectors = grown
            self._vectors[first : first + len(fresh)] = vectors
            self._rows.update(zip(fresh, range(first, first + len(fresh)), strict=True))
        known = self._rows
        return np.fromiter((known[key] for key in keys), dtype=np.int64, count=len(keys))

    def _projected(self, features: Sequence[Features]) -> Floats:
        """The vectors of words: the sums of their rows, projected to the width."""
        parts = []
        for k, (table, scale) in enumerate(zip(self._tables, self._scales, strict=True)):
            rows = [_rows_of(f, k) for f in features]
            counts = np.array([len(r) for r in rows])
            flat = np.array([r for row in rows for r in row])
            vectors = table[flat].astype(np.float32) * scale[flat]
            summed = np.add.reduceat(vectors, np.concatenate([[0], np.cumsum(counts)[:-1]]), axis=0)
            parts.append(summed / np.sqrt(counts, dtype=np.float32)[:, None] if k else summed)
        out: Floats = (
            np.concatenate(parts, axis=1, dtype=np.float32) @ self._w["project.weight"].T
            + self._w["project.bias"]
        )
        return out


def _rows_of(features: Features, table: int) -> tuple[int, ...]:
    return (features.word,) if table == 0 else (features.affixes, features.parts, features.shapes)[table - 1]


def _sigmoid(x: Floats) -> Floats:
    out: Floats = np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), dtype=np.float32)
    return out
