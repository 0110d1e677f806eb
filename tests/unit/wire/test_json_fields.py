"""Typed reading of unchecked JSON."""

from __future__ import annotations

from deputize.wire.json_fields import integer, mapping, text_field


def test_values_of_another_type_are_none() -> None:
    assert [integer(v) for v in (3, True, 1.0, "3", None)] == [3, None, None, None, None]
    assert mapping({"a": 1}) == {"a": 1} and mapping([]) is None
    assert [text_field({"a": v}, "a") for v in ("x", None, 3)] == ["x", "", "3"]
