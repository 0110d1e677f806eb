"""Shapes and profiles of replies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.stages.cluster.reply_profiles import is_silent, profile, read_reply, same_kind


def said(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def calling(*names: str) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"function": {"name": n, "arguments": "{}"}} for n in names]}


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        (said("yes"), "short"),
        (said('{"b": 1, "a": 2}'), "json:a,b"),
        (said("[1, 2]"), "array"),
        (said("```py\nx\n```"), "code"),
        (said("[CONTENT]\nx\n[/CONTENT]"), "tag:content"),
        (said("## Plan\nfirst"), "tag:## plan"),
        (said(" "), "empty"),
        ({}, "empty"),
        (said("one two three four five six seven eight nine"), "text"),
        (said("a\nb"), "text"),
        (calling("pay", "go"), "tool"),
        (said("[1, 2"), "short"),
    ],
)
def test_shapes(message: dict[str, Any], shape: str) -> None:
    assert read_reply(message).shape == shape


@given(st.text())
def test_any_text_has_a_shape(text: str) -> None:
    assert read_reply(said(text)).shape


def of(*texts: str) -> Any:
    return profile(read_reply(said(t)) for t in texts)


def test_labels_of_one_set_are_one_kind_and_of_two_sets_are_not() -> None:
    assert same_kind(of(*["a", "b"] * 20), of(*["b", "a", "a"] * 9))
    assert same_kind(of(*["a"] * 20), of(*["a", "b"] * 9))
    assert not same_kind(of(*["a", "b"] * 20), of(*["c", "d"] * 20))


def test_json_is_one_kind_by_its_fields_and_their_closed_values() -> None:
    def rows(name: str, *values: str) -> Any:
        return of(*(json.dumps({"id": i, name: values[i % len(values)]}) for i in range(40)))

    assert same_kind(rows("label", "a", "b"), rows("label", "b", "a"))
    assert not same_kind(rows("label", "a", "b"), rows("label", "x", "y"))
    assert not same_kind(rows("label", "a", "b"), rows("mood", "a", "b"))


def test_texts_are_one_kind_by_their_form() -> None:
    long = of(*(f"This is quite a long answer, number {i}. " * 8 for i in range(20)))
    longer = of(*(f"Another rather long answer with the number {i}. " * 7 for i in range(20)))
    listed = of(*("\n".join(f"- point {k} of {i}" for k in range(9)) for i in range(20)))
    assert same_kind(long, longer)
    assert not same_kind(long, listed)


def test_tools_are_one_kind_when_the_same_ones_are_called() -> None:
    a, b, c = (profile([read_reply(calling(n)) for n in names] * 5) for names in (("x", "y"), ("x",), ("z",)))
    assert same_kind(a, b)
    assert not same_kind(a, c)


def test_an_object_between_tags_is_read_as_one() -> None:
    assert read_reply(said('[CONTENT]\n{"a": 1, "b": [2]}\n[/CONTENT]')).shape == "json:a,b"
    assert read_reply(said("[CONTENT]\nno object\n[/CONTENT]")).shape == "tag:content"


def test_replies_that_are_nearly_all_empty_are_silent() -> None:
    assert is_silent(of(*[""] * 19, "yes"))
    assert not is_silent(of(*[""] * 8, "yes", "no"))
