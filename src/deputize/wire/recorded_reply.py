"""Replies as logs keep them: streams as lists of chunks or as text, of every protocol, put together again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from deputize.core.errors import BadInput, UpstreamError
from deputize.wire import converse_body, gemini_body
from deputize.wire.chat_parser import ChatStreamParser
from deputize.wire.dialect import StreamParser
from deputize.wire.events import Assembler, Completion, Failed, Finished
from deputize.wire.messages_parser import MessagesStreamParser
from deputize.wire.responses_parser import ResponsesStreamParser
from deputize.wire.sse import FrameSplitter, SseFrame

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_MESSAGES_EVENTS = ("message_", "content_block_", "ping")


class RecordedReply(msgspec.Struct, frozen=True):
    """A reply that was put together from a stream."""

    completion: Completion
    is_whole: bool
    """False where the stream was cut off before its end."""
    error: str = ""
    """The upstream's words where it could not finish."""


def is_stream_text(text: str) -> bool:
    """Check whether a text is a recorded stream of server-sent events with JSON in it."""
    head = text[:200].lstrip("\ufeff \r\n\t")
    if not head.startswith(("data:", "event:", "id:", "retry:", ": ", ":\n")):
        return False
    return any(
        line.startswith("data:") and line[5:].lstrip().startswith(("{", "[DONE]"))
        for line in text[:20000].splitlines()
    )


def reply_of_text(text: str) -> RecordedReply | None:
    """The reply in a recorded stream of server-sent events; None where it is of no protocol that is known."""
    try:
        frames = FrameSplitter(max_frame_bytes=1 << 30).feed(text.encode("utf-8", "replace") + b"\n\n")
    except UpstreamError:
        return None
    if len(frames) < 2 and text.count("data:") > 1:  # a logger that dropped the empty lines
        frames = [
            SseFrame(b"", "", line[5:].strip()) for line in text.splitlines() if line.startswith("data:")
        ]
    return _reply([frame for frame in frames if frame.data])


def reply_of_chunks(chunks: Iterable[Any]) -> RecordedReply | None:
    """The reply in a recorded list of chunks: objects, JSON texts or `data:` lines; None where they are of no known
    protocol."""
    frames = []
    for chunk in chunks:
        if isinstance(chunk, dict):
            inner = chunk.get("data") if isinstance(chunk.get("data"), dict) and "event" in chunk else chunk
            frames.append(SseFrame(b"", "", _encode(inner).decode()))
        elif isinstance(chunk, str):
            for line in chunk.splitlines():
                data = line.removeprefix("data:").strip()
                if data and not line.startswith(("event:", ":")):
                    frames.append(SseFrame(b"", "", data))
        else:
            return None
    return _reply(frames)


def _reply(frames: list[SseFrame]) -> RecordedReply | None:
    first = next((v for frame in frames if isinstance(v := _value(frame), dict)), None)
    if first is None:
        return None
    if "candidates" in first or "usageMetadata" in first:
        return _gemini_reply(frames)
    if first.keys() & {"messageStart", "contentBlockStart", "contentBlockDelta"}:
        return _converse_reply(frames)
    parser = _parser(first)
    if parser is None:
        return None
    assembler = Assembler()
    finished = False
    for frame in frames:
        for event in parser.read(frame):
            assembler.add(event)
            finished = finished or isinstance(event, Finished | Failed)
    if not assembler.has_output and not finished and not assembler.id:
        return None
    return RecordedReply(assembler.completion(), finished or parser.ended, assembler.error)


def _value(frame: SseFrame) -> Any:
    try:
        return _decode(frame.data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _parser(first: dict[str, Any]) -> StreamParser | None:
    kind = first.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        return ResponsesStreamParser()
    if isinstance(kind, str) and (kind.startswith(_MESSAGES_EVENTS) or kind == "error"):
        return MessagesStreamParser()
    return ChatStreamParser() if "choices" in first or "error" in first else None


def _gemini_reply(frames: list[SseFrame]) -> RecordedReply | None:
    try:
        completion = gemini_body.parse_reply([v for frame in frames if isinstance(v := _value(frame), dict)])
    except BadInput:
        return None
    return RecordedReply(completion, bool(completion.finish_reason))


def _converse_reply(frames: list[SseFrame]) -> RecordedReply | None:
    try:
        completion = converse_body.reply_of_stream(
            [v for frame in frames if isinstance(v := _value(frame), dict)]
        )
    except BadInput:
        return None
    return RecordedReply(completion, bool(completion.finish_reason))
