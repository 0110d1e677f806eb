"""Between text and tensors: BIO classes, windows over long texts, and word probabilities back to spans. Pure numpy.

Shapes: T word pieces of one text, C classes (0 = nothing; 1 + 2k = first piece of type k; 2 + 2k = further pieces of
it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.privacy.detectors.base import Span
from deputize.privacy.tagger.labelled_text import Label

Offsets = Sequence[tuple[int, int]]


class Window(NamedTuple):
    """Pieces [start, end) go through the encoder together; of these, [keep_start, keep_end) are read off."""

    start: int
    end: int
    keep_start: int
    keep_end: int


def n_classes(types: Sequence[str]) -> int:
    """C for these types."""
    return 1 + 2 * len(types)


def windows(n_pieces: int, size: int, overlap: int) -> list[Window]:
    """Windows that cover [0, n_pieces); what they keep touches nowhere and leaves nothing out.

    Where two windows overlap, each keeps its own half, so that no piece is judged at a cut edge of its context.

    Args:
        n_pieces: T.
        size: pieces a window may hold.
        overlap: pieces that neighbouring windows share, smaller than size.
    """
    if n_pieces <= size:
        return [Window(0, n_pieces, 0, n_pieces)] if n_pieces else []
    out: list[Window] = []
    start = kept = 0
    while kept < n_pieces:
        end = min(start + size, n_pieces)
        keep_end = n_pieces if end == n_pieces else end - overlap // 2
        out.append(Window(start, end, kept, keep_end))
        kept = keep_end
        start = end - overlap
    return out


def classes_of(labels: Sequence[Label], offsets: Offsets, types: Sequence[str]) -> NDArray[np.int64]:
    """The class of each piece, shape T. A piece belongs to a label when they share a character.

    Where labels overlap, the one that starts first keeps what it has. Types that are not in `types` count as nothing.
    """
    index = {name: k for k, name in enumerate(types)}
    out = np.zeros(len(offsets), dtype=np.int64)
    if not len(offsets):
        return out
    starts = np.fromiter((s for s, _ in offsets), dtype=np.int64, count=len(offsets))
    ends = np.fromiter((e for _, e in offsets), dtype=np.int64, count=len(offsets))
    for label in sorted(labels, key=lambda s: (s.start, -s.end)):
        kind = index.get(label.type)
        if kind is None:
            continue
        pieces = np.flatnonzero((starts < label.end) & (ends > label.start) & (out == 0))
        out[pieces] = 2 + 2 * kind
        out[pieces[:1]] = 1 + 2 * kind
    return out


def spans_of(
    probabilities_TC: NDArray[np.float32],
    words: Sequence[int],
    offsets: Offsets,
    types: Sequence[str],
    threshold: float,
    *,
    detector: str = "tagger",
) -> list[Span]:
    """The spans that word probabilities speak for, in order, without overlap.

    A word (all pieces with one word number) is decided as a whole by its mean probabilities: half a password masked
    is a password leaked. It is masked where 1 - P(nothing) >= threshold, and takes the likeliest type.

    Args:
        probabilities_TC: class probabilities of the pieces.
        words: word number of each piece, rising.
        offsets: characters [start, end) of each piece.
        types: type names, in class order.
        threshold: in (0, 1]; lower finds more.
        detector: name to put on the spans.
    """
    if not len(offsets):
        return []
    first = np.flatnonzero(np.diff(np.asarray(words), prepend=-1))
    counts = np.diff(first, append=len(offsets))
    mean_WC = np.add.reduceat(probabilities_TC, first, axis=0) / counts[:, None]
    masked = np.flatnonzero(1.0 - mean_WC[:, 0] >= threshold)
    begin_WK, inside_WK = mean_WC[:, 1::2], mean_WC[:, 2::2]
    kinds = (begin_WK + inside_WK).argmax(axis=1)
    opened: list[tuple[int, int, int, float, int]] = []
    previous = -2
    for word in masked.tolist():
        kind, piece = int(kinds[word]), int(first[word])
        start, end = offsets[piece][0], offsets[piece + int(counts[word]) - 1][1]
        score = float(1.0 - mean_WC[word, 0])
        begins = probabilities_TC[piece, 1 + 2 * kind] > probabilities_TC[piece, 2 + 2 * kind]
        if opened and word == previous + 1 and opened[-1][0] == kind and not begins:
            _, earlier, _, total, n_words = opened[-1]
            opened[-1] = (kind, earlier, end, total + score, n_words + 1)
        elif end > start:
            opened.append((kind, start, end, score, 1))
        previous = word
    return [
        Span(type=types[kind], start=start, end=end, score=round(total / n_words, 4), detector=detector)
        for kind, start, end, total, n_words in opened
    ]
