"""The operations of one protocol, so that any client can be served by any upstream or specialist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from deputize.core.records import Message
from deputize.wire.events import Completion, Event
from deputize.wire.sse import SseFrame


class StreamParser(Protocol):
    """Reads one stream into events."""

    ended: bool
    """The protocol's own end mark has come."""
    usage_only: bool
    """The last frame carried token counts and nothing else."""
    passes_more: bool
    """The last frame carried output that is no event, such as that of a further choice."""

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        ...


class StreamWriter(Protocol):
    """Writes events as one stream."""

    def write(self, event: Event) -> bytes:
        """The frames for one event; b"" where the protocol has none for it."""
        ...

    def end(self) -> bytes:
        """The frames that close the stream; b"" after a failure."""
        ...


class ReplyHead(msgspec.Struct, frozen=True):
    """The parts of a reply that do not come from the model."""

    id: str
    model: str
    """As the client calls it."""
    created: int = 0
    """Unix seconds."""
    fields: dict[str, Any] = {}
    """The decoded request body, for what a reply repeats of it."""
    confidence: float | None = None
    """A specialist's, as the caller may see it, for protocols whose replies hold probabilities; None: none is known."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol as a set of functions. `fields` are a decoded request body."""

    name: str
    path: str
    """Of its requests, from the root of the server."""
    id_prefix: str
    """Start of its reply ids, as the protocol's clients know them."""
    to_chat: Callable[[dict[str, Any]], dict[str, Any]]
    """The request as a chat request. Raises BadInput where it is not a request of this protocol."""
    from_chat: Callable[[dict[str, Any]], dict[str, Any]]
    """A chat request as one of this protocol."""
    params: Callable[[dict[str, Any]], dict[str, Any]]
    """The request fields to record besides messages, tools, model and the like, as sent."""
    parse_reply: Callable[[Any], Completion]
    """A whole reply, decoded, in the one reply model."""
    stream_parser: Callable[[], StreamParser]
    encode_reply: Callable[[Completion, ReplyHead], bytes]
    """A whole reply as a response body."""
    stream_writer: Callable[[ReplyHead], StreamWriter]
    error_body: Callable[[int, str, str, str | None], bytes]
    """(HTTP status, message, kind, code) -> the body of an error response."""
    error_frame: Callable[[int, str, str, str | None], bytes]
    """The same arguments -> an error inside a stream that has begun; the stream is closed after it."""
    fits: Callable[[Message, dict[str, Any]], bool] | None = None
    """(message, fields) -> whether a reply of this protocol can hold the message; None: it can hold any."""
