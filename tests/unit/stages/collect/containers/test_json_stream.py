"""Values out of JSON streams."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.stages.collect.containers import json_stream
from deputize.stages.collect.containers.json_stream import Oversize, decode_line, decode_value, split_values

json_objects = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.text(max_size=8) | st.integers() | st.none(), lambda x: st.lists(x, max_size=3), max_leaves=5
    ),
    min_size=1,
    max_size=3,
)


def cut(data: bytes, max_bytes: int = 10_000) -> list[Any]:
    return [
        found if not isinstance(found, bytes) else json.loads(found)
        for _, found in split_values(io.BytesIO(data), max_bytes)
    ]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(json_objects, min_size=1, max_size=5),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 40),
)
def test_values_are_cut_where_they_end_whatever_the_chunks(
    rows: list[Any], indent: int | None, chunk: int
) -> None:
    kept = json_stream.CHUNK_BYTES
    json_stream.CHUNK_BYTES = chunk
    try:
        assert cut(json.dumps(rows, indent=indent).encode()) == rows
        assert cut("\n".join(json.dumps(row, indent=indent) for row in rows).encode()) == rows
        assert cut("".join(json.dumps(row) for row in rows).encode()) == rows
    finally:
        json_stream.CHUNK_BYTES = kept


def test_a_broken_first_line_does_not_swallow_the_rest() -> None:
    found = [value for _, value in split_values(io.BytesIO(b'{"a": \n{"b": 1}\n{"c": 2}\n'), 1000)]
    assert found == [b'{"a":', b'{"b": 1}', b'{"c": 2}']


def test_a_document_that_is_too_large_can_be_read_further() -> None:
    (found,) = cut(b'{"data": [\n' + b'{"a": 1},\n' * 100 + b"]}", 100)
    assert isinstance(found, Oversize) and found.rest is not None
    assert (found.head + found.rest.read()).startswith(b'{"data": [\n{"a": 1}')


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b'{"a": 1}{"b": 2}', [({"a": 1}, ""), ({"b": 2}, "")]),
        (b'stdout F {"a": 1}', [({"a": 1}, "")]),
        (b'{"a": 1}, ', [({"a": 1}, "")]),
        (b"no", [(None, "not JSON")]),
        (b'{"a": \xff}', [(None, "not UTF-8; convert the file with iconv")]),
    ],
)
def test_lines(line: bytes, wanted: list[Any]) -> None:
    assert list(decode_line(line)) == wanted


def test_deep_values_are_named() -> None:
    assert decode_value(b'{"a":' * 100_000)[1] in ("nested too deeply", "not JSON")


def test_a_document_with_records_is_streamed_before_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "DOCUMENT_BYTES", 1000)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 100)
    data = json.dumps({"data": [{"a": n} for n in range(300)]}).encode()
    (found,) = cut(data)
    assert isinstance(found, Oversize) and found.rest is not None
    other = json.dumps({"other": [{"a": n} for n in range(300)]}).encode()
    assert cut(other) == [json.loads(other)]
