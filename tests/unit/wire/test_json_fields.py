"""Typed reading of unchecked JSON."""

from __future__ import annotations

from deputize.wire.json_fields import MOST_TOKENS, decode_answer, integer, mapping, text_field, token_count


def test_values_of_another_type_are_none() -> None:
    assert [integer(v) for v in (3, True, 1.0, "3", None)] == [3, None, None, None, None]
    assert mapping({"a": 1}) == {"a": 1} and mapping([]) is None
    assert [text_field({"a": v}, "a") for v in ("x", None, 3)] == ["x", "", "3"]


def test_answers_with_what_json_does_not_have_are_read_all_the_same() -> None:
    assert decode_answer(b'{"a":-Infinity,"b":NaN}') == {"a": None, "b": None}
    assert decode_answer('{"a":"x\\ud83d"}') == {"a": "x?"}
    assert decode_answer(b"{") is None and decode_answer(b"[" * 100_000) is None


def test_what_can_be_no_number_of_tokens_is_none() -> None:
    assert [token_count(v) for v in (0, 7, MOST_TOKENS)] == [0, 7, MOST_TOKENS]
    assert [token_count(v) for v in (-1, MOST_TOKENS + 1, 10**400, 2.0, True, "7", None)] == [None] * 7
