"""Closeness of two texts: what each measure looks at and what it leaves aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.text_measures import MEASURES, MeasureName, TextMeasure, are_close, similarity


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("words", "Order 7 has been shipped.", "order 7 has been  shipped", 1.0),
        ("words", "a b c d", "a b x y", 0.5),
        ("words", "the the the", "the", 0.5),
        ("words", "", "a", 0.0),
        ("words", "订单已发货", "订单未发货", 0.8),
        ("items", "- milk\n- bread", "1. bread\n2) milk", 1.0),
        ("items", "milk\nbread\n", "milk\nbutter", 0.5),
        ("items", "[('food', 'good'), ('staff', 'rude')]", '[("staff", "rude"), ("food",  "good")]', 1.0),
        ("items", "[('food', 'good'), ('staff', 'rude')]", "[('food', 'bad'), ('staff', 'rude')]", 0.5),
        ("items", "milk\nmilk", "milk", 2 / 3),
        ("items", "Milk", "milk", 0.0),
        ("items", "Approve it (ref 12)", "Reject it (ref 12)", 0.0),
        ("items", "print()", "rm -rf /()", 0.0),
        ("items", "12. March", "13. March", 0.0),
        ("items", "1. yes\n2. no", "2. yes\n1. no", 0.0),
        ("words", "x = 1", "x != 1", 2 / 3),
        ("words", "-5", "5", 0.0),
        ("words", "$5", "5%", 0.0),
        ("words", "C", "C++", 0.0),
        ("words", "!!!", "???", 0.0),
        ("words", "“ja”", "„ja“", 1.0),
        ("words", "yes.", "yes。", 1.0),
        ("words", "cafe\u0301", "café", 1.0),
        ("words", "늦었다", "늦었나", 0.0),
        ("characters", "abcd", "abxd", 0.75),
        ("characters", "a  b\n", " a b", 1.0),
    ],
)
def test_what_a_measure_looks_at(name: MeasureName, a: str, b: str, expected: float) -> None:
    assert similarity(a, b, name) == pytest.approx(expected)


@given(st.sampled_from(MEASURES), st.text(), st.text())
def test_a_measure_is_symmetric_and_the_same_text_is_the_same(name: MeasureName, a: str, b: str) -> None:
    there, back = similarity(a, b, name), similarity(b, a, name)
    assert there == pytest.approx(back) and 0 <= there <= 1
    assert are_close(a, a, TextMeasure(name=name, level=1.0))


def test_very_long_texts_agree_only_where_they_are_the_same() -> None:
    measure, text = TextMeasure(name="characters", level=0.5), "word " * 5000
    assert are_close(text, text, measure) and not are_close(text, text + "x", measure)
    assert are_close(text[:5000], text[:5000] + "x", measure)


def test_the_level_itself_is_close_enough() -> None:
    for level, close in ((0.5, True), (0.51, False)):
        assert are_close("a b", "a x", TextMeasure(name="words", level=level)) is close
    assert TextMeasure(name="words", level=0.8).in_words() == "an F1 of words of 0.8"


def test_what_a_judge_compares_is_the_same_here_only_to_the_letter() -> None:
    judge = TextMeasure(name="judge", level=1.0)
    assert are_close("a b", "a b", judge) and not are_close("a b", "a  b", judge)
    assert judge.in_words() == "a verdict of the judge"
