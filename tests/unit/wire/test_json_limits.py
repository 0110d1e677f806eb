"""Limits on the JSON of requests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.errors import BadInput
from deputize.wire import json_limits
from deputize.wire.chat_request import decode_object


@pytest.mark.parametrize("small", [b"[],", b"{},", b"0,", b'"",', b'{"":0},', b"[[]],"])
def test_too_many_values_are_refused_before_they_are_decoded(small: bytes) -> None:
    body = b'{"m":[' + small * json_limits.MAX_VALUES + b"1]}"
    with pytest.raises(BadInput, match="more than 250000 values"):
        decode_object(body)


def test_as_many_signs_inside_strings_are_no_values() -> None:
    text = 'a, "b", [c], {d}\\' * 40_000
    assert decode_object(json.dumps({"m": text}).encode()) == {"m": text}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_deep_nesting_is_refused(opening: str, closing: str) -> None:
    def nested(n: int) -> bytes:
        return f'{{"m":{opening * n}1{closing * n}}}'.encode()

    n_levels = len(closing)
    fits = (json_limits.MAX_DEPTH - 1) // n_levels
    assert decode_object(nested(fits))
    with pytest.raises(BadInput, match="too deeply"):
        decode_object(nested(fits + 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab[]{},"\\\n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('a[]{},"\\'), inner, max_size=4),
    max_leaves=30,
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(json_values, st.integers(1, 6))
def test_depth_is_that_of_the_decoded_value(value: object, limit: int) -> None:
    body = json.dumps({"m": value}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "MAX_DEPTH", limit)
        try:
            json_limits.check_depth(body)
            refused = False
        except BadInput:
            refused = True
    assert refused == (depth({"m": value}) > limit)
