"""Texts as hashed n-grams: unit rows, words and characters by halves."""

from __future__ import annotations

import numpy as np

from deputize.specialists.hashed_features import counts_of, idf_of_counts, n_words, vectors_of_counts

TEXTS = ["where is my parcel", "where is my refund", "Ünïcode?"]


def test_each_half_of_a_row_has_half_the_length() -> None:
    counts = counts_of(TEXTS, 1 << 10)
    rows = vectors_of_counts(counts, idf_of_counts(counts))
    for half in (rows[:, : 1 << 10], rows[:, 1 << 10 :]):
        assert np.allclose(np.asarray(half.multiply(half).sum(axis=1)).ravel(), 0.5, atol=1e-5)


def test_what_fewer_texts_have_counts_for_more() -> None:
    idf = idf_of_counts(counts_of(TEXTS, 1 << 12))
    rare = counts_of(["parcel"], 1 << 12).indices
    common = counts_of(["where"], 1 << 12).indices
    assert idf[rare].min() > idf[common].min()
    assert idf[0] <= np.log(4) + 1 + 1e-6


def test_an_empty_text_is_a_row_of_zeros() -> None:
    idf = idf_of_counts(counts_of(TEXTS, 1 << 10))
    assert vectors_of_counts(counts_of([""], 1 << 10), idf).nnz == 0


def test_words_and_signs_are_counted() -> None:
    assert n_words("where is my parcel?") == 5 and n_words("") == 0


def test_a_few_texts_are_counted_once_and_many_again() -> None:
    few, many = ["a letter", "another"], ["a letter"] * 100
    assert counts_of(few) is counts_of(list(few)) and counts_of(["else"]) is not counts_of(few)
    assert counts_of(many) is not counts_of(many)
