"""Errors in streams that are not in the form of their protocol."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.wire.dialect import Dialect
from deputize.wire.events import Failed
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES
from deputize.wire.sse import FrameSplitter
from deputize.wire.stream_errors import error_sentence, failures_in


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES, RESPONSES], ids=lambda d: d.name)
@pytest.mark.parametrize(
    "data", [b'{"message":"No room."}', b'{"error":"No room."}', b"No room.", b'{"detail":"No room."}']
)
def test_a_frame_called_error_keeps_its_sentence_in_every_protocol(dialect: Dialect, data: bytes) -> None:
    (frame,) = FrameSplitter().feed(b"event: error\ndata: " + data + b"\n\n")
    assert dialect.stream_parser().read(frame) == [Failed("No room.")]


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES, RESPONSES], ids=lambda d: d.name)
def test_other_frames_that_cannot_be_read_are_none(dialect: Dialect) -> None:
    (frame,) = FrameSplitter().feed(b"event: note\ndata: hello\n\n")
    assert dialect.stream_parser().read(frame) == []


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"error": {"type": "x", "message": "m"}}, "m"),
        ({"error": {"type": "x"}}, "x"),
        ({"error": "s"}, "s"),
        ({}, "error"),
    ],
)
def test_the_sentence_is_found(value: Any, wanted: str) -> None:
    assert error_sentence(value) == wanted


def test_an_error_under_the_name_of_a_stream() -> None:
    assert failures_in(b'{"error":{"message":"m"}}') == [Failed("m")] and failures_in(b": ping") == []
