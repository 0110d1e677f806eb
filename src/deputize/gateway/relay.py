"""An upstream's event stream on its way to the client: bytes in, bytes out, and an outcome at the end.

The end of a stream is held back in `tail` until the call has been recorded: a client that has it counts the call as
answered. Knows nothing of sockets and records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from deputize.core.errors import UpstreamError
from deputize.gateway.exchange import CutBy, ExchangeResult, UpstreamExchange
from deputize.http.content_encoding import decompressor
from deputize.wire.dialect import StreamWriter
from deputize.wire.events import (
    Assembler,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Signature,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
)
from deputize.wire.freeform_tools import FreeformCalls, restored
from deputize.wire.sse import PING, FrameSplitter, SseFrame, frames_of

_OUTPUT = (TextDelta, ThinkingDelta, RefusalDelta, ToolStart, ToolDelta, Signature)
_CUT = "The upstream ended its stream before the answer was finished."


class Relay(Protocol):
    """Passes one stream on and reads a copy of it."""

    ended: bool
    """The upstream's own end mark has come; nothing more need be read."""
    reports_failure: ClassVar[bool]
    """A failure of the upstream is reported inside the stream; False: the connection to the client has to be cut."""

    @property
    def tail(self) -> bytes:
        """The bytes that were held back, to be sent once the call has been recorded."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to send on now. Raises UpstreamError where the stream cannot be read any more."""
        ...

    def finish(self, failure: UpstreamError | None) -> ExchangeResult:
        """Ends the stream and gives its outcome.

        Args:
            failure: why no more came; None where the upstream closed its stream in order.
        """
        ...

    def outcome(self, cut_by: CutBy = "") -> ExchangeResult:
        """The outcome as far as the stream has come."""
        ...


class _ReadCopy:
    """The part that all relays share: a copy of the stream is read into a completion."""

    def __init__(self, upstream_exchange: UpstreamExchange, clock_s: Callable[[], float]) -> None:
        self._upstream_exchange, self._clock_s = upstream_exchange, clock_s
        self._parser = upstream_exchange.dialect.stream_parser()
        self._assembler = Assembler()
        self._splitter = FrameSplitter()
        self._first_token_s: float | None = None
        self.ended = False

    def _note_first_token(self) -> None:
        if self._first_token_s is None and self._assembler.has_output:
            self._first_token_s = self._clock_s()

    def outcome(self, cut_by: CutBy = "") -> ExchangeResult:
        completion = restored(self._assembler.completion(), self._upstream_exchange.freeform)
        return ExchangeResult(
            completion=completion,
            cut_by=cut_by,
            response_id="" if cut_by else self._upstream_exchange.answer_id or completion.id,
            first_token_s=self._first_token_s,
        )


class FrameRelay(_ReadCopy):
    """A stream that is passed on frame by frame; subclasses say in which form."""

    reports_failure: ClassVar[bool] = True

    def __init__(
        self, upstream_exchange: UpstreamExchange, clock_s: Callable[[], float], encoding: str = "identity"
    ) -> None:
        super().__init__(upstream_exchange, clock_s)
        self._decompress = None if encoding == "identity" else decompressor(encoding)
        self._held: list[bytes] = []

    @property
    def tail(self) -> bytes:
        return b"".join(self._held)

    def feed(self, chunk: bytes) -> bytes:
        parser, assembler, held = self._parser, self._assembler, self._held
        out: list[bytes] = []
        for frame in self._splitter.feed(chunk if self._decompress is None else self._decompress(chunk)):
            events = parser.read(frame)
            for event in events:
                assembler.add(event)
            written = self._write(frame, events)
            if parser.passes_more or (assembler.finish_reason and _goes_on(events)):
                # the end that came was not the end: of one choice of several, or of a server that says stop too early
                out += held
                held.clear()
                out.append(written)
            elif written:
                ending = held or assembler.finish_reason or assembler.error or parser.ended
                (held if ending else out).append(written)
        if self._first_token_s is None:
            self._note_first_token()
        self.ended = parser.ended
        return b"".join(out)

    def finish(self, failure: UpstreamError | None) -> ExchangeResult:
        parser, assembler, held = self._parser, self._assembler, self._held
        rest = self._splitter.rest()
        for frame in frames_of(rest) if rest else ():
            events = parser.read(frame)
            for event in events:
                assembler.add(event)
            if events or parser.ended:  # half a frame is no frame
                held.append(self._write(frame, events))
            self._note_first_token()
        if self._complete() and not assembler.error:
            held.append(self._end())
            # an answer that ends without a reason may have been given up half-way: passed on, and not learned from
            return self.outcome("" if assembler.finish_reason else "upstream")
        if not assembler.error:
            if rest:
                held.append(b"\n\n")
            # an end without a reason must not pass for a complete answer
            held.append(self._failure(str(failure) if failure else _CUT))
        return self.outcome("upstream")

    def _write(self, frame: SseFrame, events: Sequence[Event]) -> bytes:
        """The bytes that a frame becomes."""
        raise NotImplementedError

    def _complete(self) -> bool:
        """True once the answer has come to its end."""
        raise NotImplementedError

    def _end(self) -> bytes:
        """The bytes to add to a complete stream."""
        raise NotImplementedError

    def _failure(self, message: str) -> bytes:
        """The bytes to add to a stream that was cut."""
        raise NotImplementedError


def _goes_on(events: Sequence[Event]) -> bool:
    """True where a frame carries output and no end."""
    return any(isinstance(e, _OUTPUT) for e in events) and not any(isinstance(e, Finished) for e in events)


class SameProtocolRelay(FrameRelay):
    """The stream of an upstream of the client's own protocol: every frame is passed on byte for byte."""

    def _write(self, frame: SseFrame, events: Sequence[Event]) -> bytes:
        # the usage chunk that only the gateway asked for is left out
        return b"" if self._upstream_exchange.adds_usage and self._parser.usage_only else frame.raw

    def _complete(self) -> bool:
        return bool(self._assembler.finish_reason or self._parser.ended)

    def _end(self) -> bytes:
        return b""

    def _failure(self, message: str) -> bytes:
        return self._upstream_exchange.dialect.error_frame(502, message, "upstream_error", "stream_cut")


class TranslatingRelay(FrameRelay):
    """The stream of an upstream of another protocol: read into events, written in the client's protocol."""

    def __init__(
        self,
        upstream_exchange: UpstreamExchange,
        clock_s: Callable[[], float],
        writer: StreamWriter,
        encoding: str = "identity",
    ) -> None:
        super().__init__(upstream_exchange, clock_s, encoding)
        self._writer = writer
        self._freeform = FreeformCalls(upstream_exchange.freeform)

    def _write(self, frame: SseFrame, events: Sequence[Event]) -> bytes:
        if (not frame.data and not events) or frame.event == "ping":
            return PING  # a heartbeat stays one, so that clients and proxies do not time out
        write, read = self._writer.write, self._freeform.read
        return b"".join([write(passed) for event in events for passed in read(event)])

    def _complete(self) -> bool:
        return bool(self._assembler.finish_reason)

    def _end(self) -> bytes:
        return self._writer.end()

    def _failure(self, message: str) -> bytes:
        return self._writer.write(Failed(message))


class CompressedRelay(_ReadCopy):
    """A stream that came compressed although asked not to: passed on as it is, a copy decompressed for the record."""

    reports_failure: ClassVar[bool] = False

    def __init__(
        self, upstream_exchange: UpstreamExchange, clock_s: Callable[[], float], encoding: str
    ) -> None:
        super().__init__(upstream_exchange, clock_s)
        self._decompress = decompressor(encoding)
        self.tail = b""

    def feed(self, chunk: bytes) -> bytes:
        out, self.tail = self.tail, chunk
        for frame in self._splitter.feed(self._decompress(chunk)):
            for event in self._parser.read(frame):
                self._assembler.add(event)
        self._note_first_token()
        return out

    def finish(self, failure: UpstreamError | None) -> ExchangeResult:
        if failure is None:
            return self.outcome()
        self.tail = b""
        return self.outcome("upstream")
