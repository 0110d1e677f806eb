"""Packs the vectors of all pieces of a pretrained encoder for EncoderTable, for the training of the default tagger's
encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.tagger.default.encoder_pieces import (
    N_SPECIAL,
    in_int8,
    packed_text,
    piece_vectors,
    principal_axes,
    read_encoder,
    wanted_pieces,
)
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
    group_order,
)
from deputize.privacy.tagger.default.pieces import SCALE, VECTORS

N_GROUPS, N_CODES = 38, 256
"""Groups of the numbers after the first axes, a byte each."""
SAMPLED, K_MEANS_STEPS = 30_000, 12
MAX_OTHER = 4
"""Characters of a piece without a letter."""
START, END, UNKNOWN = 0, 2, 3
"""Numbers of tokens that are no pieces."""


def encoder_codes(folder: Path, pieces: Mapping[str, NDArray[Any]], seed: int = 0) -> dict[str, NDArray[Any]]:
    """The arrays that EncoderTable reads beside those of PieceVectors, from an archive.

    Args:
        folder: has the archive.
        pieces: those of PieceVectors, made from the same archive.
        seed: of the first vectors of k-means.

    Raises:
        BadInput: there is no archive.
    """
    encoder = read_encoder(folder)
    numbers = wanted_pieces(encoder.pieces)
    more = other_pieces(encoder.pieces)
    tokens = [UNKNOWN, *numbers, *more, START, END]
    vectors = piece_vectors(encoder, tokens)
    known = slice(1, 1 + len(numbers))
    kept = pieces[VECTORS].shape[1]
    centre = vectors[known].mean(axis=0)
    axes = principal_axes(vectors[known] - centre)
    turned = (vectors - centre) @ axes
    # an axis has two directions: that of the pieces is taken
    first = pieces[VECTORS][1:].astype(np.float32) * pieces[SCALE][1:].astype(np.float32)
    signs = np.where((turned[known, :kept] * first).sum(axis=0) < 0, -1, 1).astype(np.float32)
    turned[:, :kept] *= signs
    length = np.linalg.norm(turned[known, :kept], axis=1).mean()
    scaled = axes.T.copy()
    scaled[:kept] *= length * signs[:, None]
    others, others_scale = in_int8(np.concatenate([turned[:1, :kept], turned[known.stop :, :kept]]) / length)
    codes, books = product_codes(turned[:, kept:], seed)
    weight, bias = (encoder.full(f"emb.ln.{name}", (encoder.width,)) for name in "wb")
    words = encoder.packed("emb.word", encoder.n_tokens, encoder.width, tokens)
    return {
        MORE_TEXT: packed_text([encoder.pieces[n] for n in more]),
        MORE_SCORES: encoder.scores[more].astype(np.float16),
        AXES: (scaled / weight).astype(np.float16),
        CENTRE: ((centre - bias) / weight).astype(np.float32),
        CODES: codes,
        BOOKS: books.astype(np.float16),
        OTHERS: others,
        OTHERS_SCALE: others_scale,
        SPREAD: (words + encoder.full("emb.type", (1, encoder.width))).std(axis=1).astype(np.float16),
    }


def other_pieces(pieces: Sequence[str]) -> list[int]:
    """Numbers of the short pieces without a letter: marks and digits."""
    return [
        n
        for n, piece in enumerate(pieces)
        if n >= N_SPECIAL and len(piece) <= MAX_OTHER and not any(map(str.isalpha, piece))
    ]


def product_codes(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(code of each vector in each group of numbers, the vectors that the codes of each group stand for), by
    k-means."""
    rng = np.random.default_rng(seed)
    order = group_order(vectors.shape[1], N_GROUPS)
    grouped = np.ascontiguousarray(vectors[:, order].reshape(len(vectors), N_GROUPS, -1).swapaxes(0, 1))
    sample = rng.permutation(len(vectors))[:SAMPLED]
    books = []
    codes = np.empty((len(vectors), N_GROUPS), dtype=np.uint8)
    for number, values in enumerate(grouped):
        drawn = values[sample]
        book = drawn[rng.permutation(len(drawn))[:N_CODES]].copy()
        for _ in range(K_MEANS_STEPS):
            nearest = _nearest(drawn, book)
            counts = np.bincount(nearest, minlength=N_CODES)
            sums = np.stack([np.bincount(nearest, column, N_CODES) for column in drawn.T], axis=1)
            book = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book).astype(
                np.float32
            )
        codes[:, number] = _nearest(values, book)
        books.append(book)
    return codes, np.stack(books)


def _nearest(values: NDArray[np.float32], book: NDArray[np.float32]) -> NDArray[np.int64]:
    distances = np.square(book).sum(axis=1) - 2 * values @ book.T
    found: NDArray[np.int64] = distances.argmin(axis=1)
    return found
