"""From characters to classes, through windows, and back to the same characters."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.spans import join_adjacent
from deputize.privacy.tagger.encoding import classes_of, n_classes, spans_of, windows
from deputize.privacy.tagger.labelled_text import Label

TYPES = ("PERSON", "PHONE")


def pieces_of(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """Offsets and word numbers as a word piece tokenizer would give: words cut into pieces of three."""
    offsets, words = [], []
    for number, word in enumerate(re.finditer(r"\w+|[^\w\s]", text)):
        for start in range(word.start(), word.end(), 3):
            offsets.append((start, min(start + 3, word.end())))
            words.append(number)
    return offsets, words


@given(st.integers(0, 400), st.integers(2, 60), st.data())
def test_windows_keep_every_piece_once(n: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    found = windows(n, size, overlap)
    assert [i for w in found for i in range(w.keep_start, w.keep_end)] == list(range(n))
    assert all(w.start <= w.keep_start < w.keep_end <= w.end <= n and w.end - w.start <= size for w in found)


def test_windows_leave_the_edges_to_the_neighbour() -> None:
    assert [tuple(w) for w in windows(10, 6, 2)] == [(0, 6, 0, 5), (4, 10, 5, 10)]
    assert [tuple(w) for w in windows(3, 6, 2)] == [(0, 3, 0, 3)]
    assert windows(0, 6, 2) == []


TEXTS = st.text(alphabet="abcdefg 123.,-\n", max_size=80)


@given(TEXTS, st.data())
def test_labels_come_back_as_the_words_they_touch(text: str, data: st.DataObject) -> None:
    words = [m.span() for m in re.finditer(r"\w+|[^\w\s]", text)]
    chosen = data.draw(st.lists(st.sampled_from(words), unique=True)) if words else []
    labels = [Label(type=data.draw(st.sampled_from(TYPES)), start=s, end=e) for s, e in chosen]
    offsets, numbers = pieces_of(text)
    classes = classes_of(labels, offsets, TYPES)
    certain = np.eye(n_classes(TYPES), dtype=np.float32)[classes]
    found = spans_of(certain, numbers, offsets, TYPES, 0.5)
    assert [(s.type, s.start, s.end) for s in found] == sorted(
        ((x.type, x.start, x.end) for x in labels), key=lambda x: x[1]
    )


def test_a_label_of_several_words_is_one_span() -> None:
    text = "ask Anna Maria Lee or 12"
    offsets, words = pieces_of(text)
    labels = [
        Label(type="PERSON", start=4, end=18),
        Label(type="PHONE", start=22, end=24),
        Label(type="OTHER", start=0, end=3),
    ]
    classes = classes_of(labels, offsets, TYPES)
    assert classes[0] == 0 and list(classes[1:3]) == [1, 2]
    found = spans_of(np.eye(5, dtype=np.float32)[classes], words, offsets, TYPES, 0.5)
    assert [(s.type, text[s.start : s.end]) for s in found] == [("PERSON", "Anna Maria Lee"), ("PHONE", "12")]


def test_overlapping_labels_the_first_keeps_what_it_has() -> None:
    offsets, _ = pieces_of("abcdefghi")
    labels = [Label(type="PHONE", start=3, end=9), Label(type="PERSON", start=0, end=6)]
    assert list(classes_of(labels, offsets, TYPES)) == [1, 2, 3]


def test_a_word_is_decided_as_a_whole() -> None:
    """One sure piece of three carries its word over a low threshold, not over a high one."""
    offsets, words = pieces_of("abcdefghi")
    probabilities = np.array(
        [[0.0, 1.0, 0, 0, 0], [0.9, 0, 0.1, 0, 0], [0.9, 0, 0.1, 0, 0]], dtype=np.float32
    )
    assert [(s.start, s.end) for s in spans_of(probabilities, words, offsets, TYPES, 0.3)] == [(0, 9)]
    assert spans_of(probabilities, words, offsets, TYPES, 0.5) == []


@given(TEXTS, st.integers(0, 2**31), st.floats(0.05, 0.95), st.floats(0.0, 0.5))
def test_a_lower_threshold_never_finds_less(text: str, seed: int, threshold: float, less: float) -> None:
    offsets, words = pieces_of(text)
    rng = np.random.default_rng(seed)
    probabilities = (
        rng.dirichlet(np.ones(5), len(offsets)).astype(np.float32)
        if offsets
        else np.zeros((0, 5), np.float32)
    )

    def chars(limit: float) -> set[int]:
        spans = spans_of(probabilities, words, offsets, TYPES, limit)
        assert all(a.end <= b.start for a, b in pairwise(spans))
        return {i for s in spans for i in range(s.start, s.end) if not text[i].isspace()}

    assert chars(threshold) <= chars(max(threshold - less, 1e-6))


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("60.24.26.60 x", [("IP", 0, 2), ("DATE", 2, 5), ("IP", 5, 8), ("IP", 9, 11)], [("IP", 0, 11)]),
        ("Ann, Bob", [("P", 0, 3), ("P", 5, 8)], [("P", 0, 3), ("P", 5, 8)]),
        ("Ann Bob", [("P", 0, 3), ("P", 4, 7)], [("P", 0, 3), ("P", 4, 7)]),
        ("", [], []),
    ],
)
def test_joining(text: str, spans: list[tuple[str, int, int]], expected: list[tuple[str, int, int]]) -> None:
    given = [Span(kind, start, end, 0.9, "tagger") for kind, start, end in spans]
    assert [(s.type, s.start, s.end) for s in join_adjacent(given, text)] == expected
