"""The vectors of pieces with which the default tagger's encoder begins, packed.

A vector of 384 numbers is taken apart into its first principal axes, which the network over words reads too (pieces),
and the rest, which is kept as one byte for eight numbers: the nearest of 256 vectors of its group.

References:
    Jégou, Douze, Schmid (2011), "Product quantization for nearest neighbor search", section II.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.pieces import SCALE, SCORES, TEXT, VECTORS

AXES, CENTRE, CODES, BOOKS = "table.axes", "table.centre", "table.codes", "table.books"
OTHERS, OTHERS_SCALE, SPREAD = "table.others", "table.others.scale", "table.spread"
MORE_TEXT, MORE_SCORES = "table.text", "table.scores"
"""Names of the arrays of a file of weights."""

Floats = NDArray[np.float32]


class EncoderTable:
    """Vectors of pieces by row. Row 0 is the unknown piece; after the pieces come the start and the end of a line."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """
        Args:
            arrays: those of PieceVectors, and AXES (H, H): principal axes, the first ones those of PieceVectors,
                divided by the weights of the encoder's first norm; CENTRE (H): what is added; CODES and BOOKS: what the
                other axes have; OTHERS, OTHERS_SCALE: the first axes of row 0 and of the rows that PieceVectors lacks;
                SPREAD: one number a row, by which all is multiplied.
        """
        self._first, self._first_scale = arrays[VECTORS], arrays[SCALE].astype(np.float32)
        self._others = arrays[OTHERS].astype(np.float32) * arrays[OTHERS_SCALE].astype(np.float32)
        self._codes = arrays[CODES]
        self._books = arrays[BOOKS].astype(np.float32)
        self._groups = np.arange(len(self._books))
        kept = self._first.shape[1]
        axes = arrays[AXES].astype(np.float32)
        order = group_order(len(axes) - kept, len(self._books))
        self._axes = np.ascontiguousarray(np.concatenate([axes[:kept], axes[kept:][order]]))
        self._centre = arrays[CENTRE].astype(np.float32)
        self._spread = arrays[SPREAD].astype(np.float32)
        self.n_rows = len(self._codes)
        self.start, self.end = self.n_rows - 2, self.n_rows - 1

    def of(self, rows: NDArray[np.int64]) -> Floats:
        """(len(rows), H): the vectors of rows, before a place is added."""
        known = (rows > 0) & (rows < len(self._first))
        inner = np.where(known, rows, 0)
        first = self._first[inner].astype(np.float32) * self._first_scale[inner]
        first[~known] = self._others[np.where(rows > 0, rows - len(self._first) + 1, 0)[~known]]
        rest = self._books[self._groups, self._codes[rows]].reshape(len(rows), -1)
        out: Floats = np.concatenate([first, rest], axis=1) @ self._axes + self._centre
        return out * self._spread[rows][:, None]


def with_more_pieces(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Weights in which the vocabulary of PieceVectors has the encoder's further pieces (MORE_TEXT, MORE_SCORES) at its
    end."""
    line_end = np.frombuffer(b"\n", dtype=np.uint8)
    return {
        **weights,
        TEXT: np.concatenate([weights[TEXT], line_end, weights[MORE_TEXT]]),
        SCORES: np.concatenate([weights[SCORES], weights[MORE_SCORES]]),
    }


def group_order(n_axes: int, n_groups: int) -> NDArray[np.int64]:
    """Numbers of the axes of each group behind each other; every group has important ones and others."""
    return np.arange(n_axes).reshape(-1, n_groups).T.ravel()
