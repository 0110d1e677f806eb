"""Errors in streams that are not in the form of their protocol: servers, and what stands before them, write them as
they like."""

from __future__ import annotations

from typing import Any

from deputize.wire.events import Event, Failed
from deputize.wire.json_fields import decode_answer
from deputize.wire.sse import SseFrame

_LONGEST = 2000
_SENTENCES = ("message", "detail", "msg", "text", "title", "type", "code")


def error_sentence(value: Any) -> str:
    """The sentence of an error in an object, of whichever form; "error" where there is none."""
    error = value.get("error") if isinstance(value, dict) else None
    fields = error if isinstance(error, dict) else value if not error else {}
    found = next((fields[k] for k in _SENTENCES if isinstance(fields, dict) and fields.get(k)), error)
    return str(found or "error")[:_LONGEST]


def failures_in(raw: bytes) -> list[Event]:
    """The failure in bytes without a field: an error that a server sent as it is under the name of a stream."""
    if raw.lstrip()[:1] != b"{":
        return []
    value = decode_answer(raw)
    return [Failed(error_sentence(value))] if isinstance(value, dict) and value.get("error") else []


def named_failures(frame: SseFrame) -> list[Event]:
    """The failure in a frame whose event is called error, be its data an object of any form or a sentence; none in
    others."""
    if frame.event != "error" or not frame.data:
        return []
    value = decode_answer(frame.data)
    if isinstance(value, dict):
        return [Failed(error_sentence(value))]
    return [Failed((value if isinstance(value, str) else frame.data)[:_LONGEST])]
