"""The reply in whatever a function that asks a model returned: a client's object, its dict, text, or a stream of
these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from deputize.wire.events import Completion
from deputize.wire.recorded_reply import reply_of_chunks
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES

_NOTHING = Completion(message={}, finish_reason="")


class StreamEnd(msgspec.Struct, frozen=True):
    """The way in which a stream ended."""

    chunks: list[Any]
    failed: bool = False
    abandoned: bool = False
    """Whoever read it stopped before its end."""


def plain(value: Any) -> Any:
    """A client's object as the dict it came from; anything else as it is."""
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value


def reply_of(result: Any) -> Completion:
    """The reply in what was returned: of chat completions, messages or responses, or the assistant's message or
    text."""
    if isinstance(result, str):
        return Completion({"role": "assistant", "content": result}, "")
    value = plain(result)
    if not isinstance(value, dict):
        return _NOTHING
    if value.get("choices"):
        return CHAT.parse_reply(value)
    if value.get("object") == "response":
        return RESPONSES.parse_reply(value)
    if value.get("type") == "message" and isinstance(value.get("content"), list):
        return MESSAGES.parse_reply(value)
    return Completion(value, "") if value.get("role") == "assistant" else _NOTHING


def reply_of_stream(chunks: list[Any]) -> Completion:
    """The reply that the chunks of a stream come to; chunks are a client's objects, their dicts, or pieces of text."""
    if chunks and all(isinstance(chunk, str) for chunk in chunks):
        return reply_of("".join(chunks))
    found = reply_of_chunks([value for chunk in chunks if isinstance(value := plain(chunk), dict)])
    return found.completion if found is not None else _NOTHING


def is_stream(result: Any) -> bool:
    """True for what gives its pieces one by one, at once or awaited."""
    return hasattr(result, "__next__") or hasattr(result, "__anext__")


class RecordedStream:
    """A stream that reports once how it ended, and is the stream itself in everything else."""

    def __init__(self, stream: Any, on_end: Callable[[StreamEnd], None]) -> None:
        self._stream, self._on_end = stream, on_end
        self._chunks: list[Any] = []
        self._has_ended = False

    def _end(self, *, failed: bool = False, abandoned: bool = False) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._on_end(StreamEnd(self._chunks, failed, abandoned))

    def __iter__(self) -> RecordedStream:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._stream)
        except BaseException as error:
            self._end(failed=not isinstance(error, StopIteration))
            raise
        self._chunks.append(chunk)
        return chunk

    def __aiter__(self) -> RecordedStream:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._stream)
        except BaseException as error:
            self._end(failed=not isinstance(error, StopAsyncIteration))
            raise
        self._chunks.append(chunk)
        return chunk

    def __enter__(self) -> RecordedStream:
        if hasattr(self._stream, "__enter__"):
            self._stream.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        self._end(abandoned=True)
        if hasattr(self._stream, "__exit__"):
            return self._stream.__exit__(*raised)
        return None

    async def __aenter__(self) -> RecordedStream:
        if hasattr(self._stream, "__aenter__"):
            await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        self._end(abandoned=True)
        if hasattr(self._stream, "__aexit__"):
            return await self._stream.__aexit__(*raised)
        return None

    def close(self) -> Any:
        """Closes the stream; of an asynchronous one this is awaited."""
        self._end(abandoned=True)
        return self._stream.close()

    async def aclose(self) -> None:
        """Closes an asynchronous generator."""
        self._end(abandoned=True)
        await self._stream.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        self._end(abandoned=True)
