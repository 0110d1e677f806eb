"""How deep in strings of JSON a place is, told while the text comes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.privacy.masking.json_depth import MAX_DEPTH, JsonDepth


def depth_at(text: str, mark: str = "HERE", size: int = 1000) -> int:
    """The depth of the place of a mark, the text before it fed in pieces."""
    before, depth = text[: text.index(mark)], JsonDepth()
    for at in range(0, len(before), size):
        depth.feed(before[at : at + size])
    return depth.depth


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ('{"a": HERE', 0),
        ('{"a": "HERE', 1),
        ('{"a": "b", "HERE', 1),
        (r'{"a": "he said \"HERE', 1),
        (r'{"a": "x {\"b\": \"HERE', 1),
        (r'{"a": "{\"b\": \"HERE', 2),
        (r'{"a": " [\"HERE', 2),
        (r'{"a": "{\"b\": \"c\", HERE', 1),
        (r'{"a": "{\u0022b\u0022: \u0022HERE', 2),
        (r'{"a": "\\\\", "b": "HERE', 1),
        (r'{"a": "\uZZZZ{HERE', 1),
        ("HERE", 0),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_place_in_strings_of_strings(text: str, depth: int, size: int) -> None:
    assert depth_at(text, size=size) == depth


def test_depth_has_an_end() -> None:
    value: Any = {"a": "HERE"}
    for _ in range(MAX_DEPTH + 3):
        value = {"a": json.dumps(value)}
    assert depth_at(json.dumps(value)) == MAX_DEPTH


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text('ab"\\{[\n é', max_size=6), min_size=1, max_size=4), st.integers(1, 9))
def test_drawn_texts_in_json_in_json(others: list[str], size: int) -> None:
    value: Any = {"before": others[0], "a": "HERE"}
    for other in others[1:]:
        value = [other, {"b": json.dumps(value, ensure_ascii=False)}]
    assert depth_at(json.dumps(value, ensure_ascii=False), size=size) == len(others)
