"""Frames come out whole and byte-exact however the stream is cut."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.errors import UpstreamError
from deputize.wire.sse import FrameSplitter, encode_data, encode_event, frames_of, parse_frame

FRAMES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1).map(
            lambda t: encode_data(t.encode())
        ),
        st.sampled_from(
            [
                b": ping\n\n",
                b"\n\n",
                b"event: x\r\ndata: {}\r\n\r\n",
                b"data: a\ndata: b\n\n",
                b"id: 1\rdata: q\r\r",
            ]
        ),
    )
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=30), st.binary(max_size=9))
def test_every_byte_comes_out_once_in_order(frames: list[bytes], places: list[int], tail: bytes) -> None:
    data = b"".join(frames) + tail
    splitter = FrameSplitter()
    out = b"".join(f.raw for piece in cut(data, places) for f in splitter.feed(piece))
    assert out + splitter.rest() == data


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=30))
def test_cuts_do_not_change_what_is_read(frames: list[bytes], places: list[int]) -> None:
    data = b"".join(frames)

    def read(pieces: list[bytes]) -> list[tuple[str, str]]:
        splitter = FrameSplitter()
        return [(f.event, f.data) for p in pieces for f in splitter.feed(p) if f.data]

    assert read(cut(data, places)) == read([data])


@given(st.binary(max_size=300))
def test_no_bytes_can_break_the_splitter(data: bytes) -> None:
    splitter = FrameSplitter()
    assert b"".join(f.raw for f in splitter.feed(data)) + splitter.rest() == data


@pytest.mark.parametrize(
    ("raw", "event", "data"),
    [
        (b"data: x\n\n", "", "x"),
        (b"data:x\n\n", "", "x"),
        (b"data:  x\n\n", "", " x"),
        (b": c\n\n", "", ""),
        (b"event: e\ndata: 1\ndata: 2\n\n", "e", "1\n2"),
        (b"data: \xff\n\n", "", "\ufffd"),
        (b"data\n\n", "", ""),
        (encode_event("k", b"{}"), "k", "{}"),
    ],
)
def test_fields_are_read_as_the_standard_says(raw: bytes, event: str, data: str) -> None:
    assert parse_frame(raw) == (raw, event, data)


def test_a_frame_without_end_is_refused() -> None:
    splitter = FrameSplitter(max_frame_bytes=10)
    with pytest.raises(UpstreamError, match="more than 10 bytes"):
        splitter.feed(b"data: 123456789")


def test_a_byte_order_mark_before_the_first_frame_is_ignored() -> None:
    raw = b"\xef\xbb\xbfdata: x\n\n"
    assert parse_frame(raw) == (raw, "", "x")


@pytest.mark.parametrize("size", [1, 5, 100])
def test_frames_that_end_with_one_line_end_come_as_they_are_made(size: int) -> None:
    lines = [b'data: {"a":1}\n', b'data: {"a":2}\n', b"data: [DONE]\n"]
    splitter = FrameSplitter()
    stream = b"".join(lines)
    frames = [f for at in range(0, len(stream), size) for f in splitter.feed(stream[at : at + size])]
    assert [f.raw for f in frames] == lines[:2]
    assert [f.data for f in frames_of(splitter.rest())] == ["[DONE]"]
    at_once = FrameSplitter().feed(stream + b"\n")
    assert [f.data for f in at_once] == ['{"a":1}', '{"a":2}', "[DONE]", ""]


def test_a_long_frame_in_many_pieces_takes_no_time() -> None:
    splitter = FrameSplitter()
    piece = b"A" * 65536
    began = time.process_time()
    for _ in range(600):
        assert not splitter.feed(piece)
    assert len(splitter.feed(b"\n\n")) == 1
    assert time.process_time() - began < 2.0
