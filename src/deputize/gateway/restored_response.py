"""An upstream's response with personal values in place of their placeholders, whichever protocol it is in.

In a stream a placeholder may be spread over several events: what may be the beginning of one waits, at the latest for
the event that ends the text it is in.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from deputize.http.content_encoding import decompressor
from deputize.http.headers import header
from deputize.http.transport import UpstreamResponse
from deputize.privacy.masking.placeholders import PieceRestorer, Placeholders, begins_like_json
from deputize.upstreams.upstream import too_large
from deputize.wire.sse import FrameSplitter, SseFrame, encode_data, encode_event, frames_of
from deputize.wire.text_deltas import TextPiece, ends_of, text_deltas

_STREAM_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_AS_JSON = frozenset({"arguments", "partial_json"})
_SIGNED = frozenset({"thinking", "redacted_thinking", "thinking_delta", "signature_delta"})


class RestoredResponse:
    """A response to a masked request; an `UpstreamResponse`."""

    def __init__(self, response: UpstreamResponse, placeholders: Placeholders, max_bytes: int) -> None:
        """
        Args:
            response: what the upstream sends.
            placeholders: those of the request.
            max_bytes: an answer beyond this is cut off.
        """
        self._response, self._placeholders, self._max_bytes = response, placeholders, max_bytes
        self.status = response.status
        self.headers = [
            (k, v) for k, v in response.headers if k.lower() not in ("content-length", "content-encoding")
        ]

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, where it is a stream; else all of it at once."""
        unpack = decompressor(header(self._response.headers, "content-encoding", "identity"), self._max_bytes)
        begin, stream = bytearray(), None
        async for piece in self._response.chunks():
            plain = unpack(piece)
            if stream is not None:
                if made := stream.feed(plain):
                    yield made
                continue
            begin += plain
            if len(begin) > self._max_bytes:
                raise too_large(self._max_bytes)
            if _is_stream(begin):
                stream = _RestoredStream(self._placeholders)
                if made := stream.feed(bytes(begin)):
                    yield made
        made = stream.finish() if stream is not None else restored_body(bytes(begin), self._placeholders)
        if made:
            yield made

    def close(self) -> None:
        """Releases the connection."""
        self._response.close()


def _is_stream(begin: bytes | bytearray) -> bool:
    return bytes(begin[:64]).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_STREAM_STARTS)


def restored_body(body: bytes, placeholders: Placeholders) -> bytes:
    """A whole body, JSON or not."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        plain = body.decode("utf-8", "surrogateescape")
        return placeholders.restore(plain).encode("utf-8", "surrogateescape")
    made = restored_value(value, placeholders)
    return body if made == value else _encode(made)


def restored_value(value: Any, placeholders: Placeholders, name: str = "") -> Any:
    """A JSON value with every text of it restored. Reasoning that a provider has signed is left as it is.

    Args:
        value: decoded.
        name: of the field that holds it.
    """
    if isinstance(value, str):
        in_json = name in _AS_JSON or bool(begins_like_json(value))
        return placeholders.restore(value, in_json=in_json)
    if isinstance(value, list):
        return [restored_value(inner, placeholders, name) for inner in value]
    if isinstance(value, dict):
        if value.get("type") in _SIGNED:
            return value
        return {
            placeholders.restore(key): restored_value(inner, placeholders, key)
            for key, inner in value.items()
        }
    if isinstance(value, int) and not isinstance(value, bool):
        return placeholders.restore_number(value)
    return value


def _encode(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a character, the other half of which comes with the next event
        return json.dumps(value, separators=(",", ":")).encode()


class _OpenText(NamedTuple):
    """A text of a stream that has not ended."""

    restorer: PieceRestorer
    last: TextPiece
    event: str
    """Name of the events that it comes in."""


class _RestoredStream:
    """Server-sent events: frames that hold nothing of a placeholder pass byte for byte."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._splitter = FrameSplitter()
        self._open: dict[tuple[Any, ...], _OpenText] = {}
        self._n_added = 0
        """Events that were added so far, for protocols that number theirs."""

    def feed(self, chunk: bytes) -> bytes:
        return b"".join(made for frame in self._splitter.feed(chunk) for made in self._frame(frame))

    def finish(self) -> bytes:
        rest = self._splitter.rest()
        frames = frames_of(rest) if rest else []
        made = [made for frame in frames for made in self._frame(frame)]
        return b"".join([*made, *self._ended(list(self._open))])

    def _frame(self, frame: SseFrame) -> Iterator[bytes]:
        if not frame.data:
            yield frame.raw
            return
        try:
            value = json.loads(frame.data)
        except (ValueError, RecursionError):
            # the mark of the end, or something else that is no event
            yield from self._ended(list(self._open))
            restored = self._placeholders.restore(frame.data)
            yield frame.raw if restored == frame.data else _raw(frame.event, restored.encode())
            return
        if not isinstance(value, dict):
            yield frame.raw
            return
        deltas = text_deltas(value)
        yield from self._ended(ends_of(value, deltas, self._open))
        yield self._changed(frame, value, deltas)

    def _changed(self, frame: SseFrame, value: dict[str, Any], deltas: list[TextPiece]) -> bytes:
        texts = [self._fed(delta, frame.event) for delta in deltas]
        originals = [delta.text for delta in deltas]
        for delta in deltas:
            delta.put("")  # restored by its own restorer
        made = restored_value(value, self._placeholders)
        if made == value and texts == originals and not self._n_added:
            return frame.raw
        for delta, text in zip(text_deltas(made), texts, strict=True):
            delta.put(text)
        if isinstance(made.get("sequence_number"), int):
            made["sequence_number"] += self._n_added
        elif made == value and texts == originals:
            return frame.raw
        return _raw(frame.event, _encode(made))

    def _fed(self, delta: TextPiece, event: str) -> str:
        waiting = self._open.get(delta.key)
        restorer = self._placeholders.pieces(in_json=delta.in_json) if waiting is None else waiting.restorer
        if delta.is_last:
            self._open.pop(delta.key, None)
            return restorer.feed(delta.text) + restorer.finish()
        self._open[delta.key] = _OpenText(restorer, delta, event)
        return restorer.feed(delta.text)

    def _ended(self, keys: list[tuple[Any, ...]]) -> Iterator[bytes]:
        """The frames with what texts that have ended were holding."""
        for key in keys:
            waiting = self._open.pop(key, None)
            if waiting is None or not waiting.restorer.holds:
                continue
            event = waiting.last.event_with(waiting.restorer.finish())
            if isinstance(event.get("sequence_number"), int):
                self._n_added += 1
                event["sequence_number"] += self._n_added
            yield _raw(waiting.event, _encode(event))


def _raw(event: str, data: bytes) -> bytes:
    return encode_event(event, data) if event else encode_data(data)
