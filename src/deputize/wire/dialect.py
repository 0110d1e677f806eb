"""What a protocol must be able to do so that any client can be served by any upstream or specialist."""

from __future__ import annotations

from typing import Any, Protocol

from deputize.wire.events import Completion, Event
from deputize.wire.sse import SseFrame


class StreamParser(Protocol):
    """Reads one stream into events."""

    ended: bool
    """The protocol's own end mark has come."""
    usage_only: bool
    """The last frame carried token counts and nothing else."""

    def read(self, frame: SseFrame) -> list[Event]: ...


class StreamWriter(Protocol):
    """Writes events as one stream."""

    def write(self, event: Event) -> bytes: ...

    def end(self) -> bytes: ...


class Dialect(Protocol):
    """One protocol: chat, responses or messages. `fields` are a decoded request body."""

    name: str
    path: str

    def to_chat(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The request as a chat request. Raises BadInput where it makes none."""
        ...

    def from_chat(self, chat: dict[str, Any]) -> dict[str, Any]:
        """A chat request as one of this protocol's."""
        ...

    def params(self, fields: dict[str, Any]) -> dict[str, Any]:
        """What to record beside messages, tools and the like: every other field, as sent."""
        ...

    def reader(self) -> StreamParser: ...

    def parse_answer(self, value: Any) -> Completion:
        """A whole answer, decoded, as the one answer model."""
        ...

    def writer(self, *, id_: str, model: str, created: int, fields: dict[str, Any]) -> StreamWriter: ...

    def encode_answer(
        self, answer: Completion, *, id_: str, model: str, created: int, fields: dict[str, Any]
    ) -> bytes: ...

    def error_body(self, status: int, message: str, kind: str, code: str | None) -> bytes: ...

    def error_frame(self, status: int, message: str, kind: str, code: str | None) -> bytes: ...
