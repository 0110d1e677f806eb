"""The packed vectors of an encoder's pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.encoder_pieces import packed_pieces, packed_text
from deputize.privacy.tagger.default.encoder_table import (
    AXES,
    BOOKS,
    CENTRE,
    CODES,
    MORE_SCORES,
    MORE_TEXT,
    OTHERS,
    OTHERS_SCALE,
    SPREAD,
    EncoderTable,
    group_order,
    with_more_pieces,
)
from deputize.privacy.tagger.default.pieces import SCALE, VECTORS, PieceVectors


def test_every_group_has_an_important_axis_and_each_axis_one_group() -> None:
    order = group_order(12, 3)
    assert sorted(order.tolist()) == list(range(12)) and order.reshape(3, 4)[:, 0].tolist() == [0, 1, 2]


def made() -> tuple[dict[str, NDArray[np.generic]], NDArray[np.float32]]:
    """A table of two letters, one mark and the three tokens, and the vectors that it holds."""
    rng = np.random.default_rng(2)
    first = rng.normal(size=(6, 2)).astype(np.float32)  # unknown, two letters, mark, start, end
    pieces = packed_pieces(["a", "b"], np.array([-1.0, -2.0], dtype=np.float32), first[1:3])
    others = packed_pieces([], np.zeros(0, dtype=np.float32), first[[0, 3, 4, 5]])
    books = rng.normal(size=(2, 256, 1)).astype(np.float16)
    codes = rng.integers(256, size=(6, 2)).astype(np.uint8)
    axes = rng.normal(size=(4, 4)).astype(np.float16)
    arrays = {
        **pieces,
        AXES: axes,
        CENTRE: np.arange(4, dtype=np.float32),
        CODES: codes,
        BOOKS: books,
        OTHERS: others[VECTORS][1:],
        OTHERS_SCALE: others[SCALE][1:],
        SPREAD: np.array([1, 2, 1, 1, 1, 0.5], dtype=np.float16),
        MORE_TEXT: packed_text(["!"]),
        MORE_SCORES: np.array([-3], dtype=np.float16),
    }
    rest = np.stack([books[g, codes[:, g], 0] for g in range(2)], axis=1).astype(np.float32)
    wanted = np.concatenate([first, rest], axis=1) @ axes.astype(np.float32) + np.arange(4)
    return arrays, wanted * arrays[SPREAD].astype(np.float32)[:, None]


def test_a_table_gives_the_vector_of_each_row() -> None:
    arrays, wanted = made()
    table = EncoderTable(arrays)
    assert np.allclose(table.of(np.array([2, 0, 5, 3, 1])), wanted[[2, 0, 5, 3, 1]], atol=0.1)
    assert (table.start, table.end) == (4, 5)


def test_further_pieces_are_in_the_vocabulary_and_nothing_to_the_network_over_words() -> None:
    arrays, _ = made()
    pieces = PieceVectors(with_more_pieces(arrays))
    assert pieces.split("ab!") == [(1, 1), (2, 1), (3, 1)]
    assert pieces.rows("!").all == (0,) and not pieces.features(["!"]).any()
