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
        ("words", "", "", 1.0),
        ("words", "", "a", 0.0),
        ("words", "订单已发货", "订单未发货", 0.8),
        ("items", "- milk\n- bread", "1. bread\n2) milk", 1.0),
        ("items", "milk\nbread\n", "milk\nbutter", 0.5),
        ("items", "[('food', 'good'), ('staff', 'rude')]", '[("staff", "rude"), ("food",  "good")]', 1.0),
        ("items", "[('food', 'good'), ('staff', 'rude')]", "[('food', 'bad'), ('staff', 'rude')]", 0.5),
        ("items", "milk\nmilk", "milk", 2 / 3),
        ("items", "Milk", "milk", 0.0),
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
    assert similarity(a, a, name) == 1 and are_close(a, a, TextMeasure(name=name, level=1.0))


def test_the_level_itself_is_close_enough() -> None:
    for level, close in ((0.5, True), (0.51, False)):
        assert are_close("a b", "a x", TextMeasure(name="words", level=level)) is close
    assert TextMeasure(name="words", level=0.8).in_words() == "an F1 of words of 0.8"
