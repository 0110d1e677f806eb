"""Tool calls whose pieces interleave, put one after the other, for protocols that have one block open at a time."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from deputize.wire.events import (
    Event,
    Failed,
    Finished,
    NotRecorded,
    Started,
    ToolDelta,
    ToolStart,
    UsageSeen,
)

_decode = msgspec.json.Decoder().decode


class ToolCallOrder:
    """Passes events on, but for those that come while a tool call is open and not whole: they wait for its end.

    A call is whole once its arguments are a JSON value. Of a freeform tool, whose input is text, and of a call that has
    no arguments so far only the end of the reply tells.
    """

    def __init__(self) -> None:
        self._open: int | None = None
        """Index of the tool call that is being passed on."""
        self._custom = False
        self._pieces: list[str] = []
        self._waiting: dict[int | None, list[Event]] = {}
        """Events by tool call, None for all others, in the order in which each first came."""

    def order(self, event: Event) -> Iterator[Event]:
        """The events that may be passed on, now that this one has come."""
        if isinstance(event, Started | UsageSeen | NotRecorded):
            yield event
        elif isinstance(event, Finished | Failed):
            yield from self._rest()
            yield event
        else:
            lane = event.index if isinstance(event, ToolStart | ToolDelta) else None
            if not self._waiting and (self._open is None or lane == self._open or self._is_whole()):
                yield self._passed(event)
            else:
                self._waiting.setdefault(lane, []).append(event)
                yield from self._next()

    def _passed(self, event: Event) -> Event:
        if isinstance(event, ToolStart):
            if event.index != self._open:
                self._open, self._custom, self._pieces = event.index, event.custom, []
        elif isinstance(event, ToolDelta):
            if event.index != self._open:
                self._open, self._pieces = event.index, []
            self._pieces.append(event.arguments)
        else:
            self._open = None
        return event

    def _next(self) -> Iterator[Event]:
        """Passes on what waits, as far as the open call lets it."""
        while self._waiting:
            if self._open is not None and self._open in self._waiting:
                lane: int | None = self._open
            elif self._open is None or self._is_whole():
                lane = next(iter(self._waiting))
            else:
                return
            for event in self._waiting.pop(lane):
                yield self._passed(event)

    def _rest(self) -> Iterator[Event]:
        if self._open is not None and self._open in self._waiting:
            yield from self._waiting.pop(self._open)
        for events in self._waiting.values():
            yield from events
        self._waiting = {}

    def _is_whole(self) -> bool:
        text = "".join(self._pieces)
        if self._custom or not text.rstrip().endswith("}"):
            return False
        try:
            _decode(text)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True
