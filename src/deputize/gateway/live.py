"""One call from arrival to record: decide, ask, answer, keep.

The record is made before the last byte leaves, so that every call a client got in full is in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from random import random
from time import time
from typing import Any

import msgspec
from msgspec import structs

from deputize.core.errors import BadInput, DeputizeError, StoreError, UpstreamError
from deputize.core.records import Call, Decision, Message, Usage
from deputize.gateway import translate
from deputize.gateway.auth import Authenticator, Caller
from deputize.gateway.context import Context
from deputize.gateway.conversations import OURS, Conversation, Conversations
from deputize.gateway.forwarding import forward_answer_headers, forward_request_headers
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.routing import RoutingDecider, RoutingOutcome, shadow_agrees
from deputize.gateway.settings import GatewaySettings
from deputize.http.content_encoding import decompressor
from deputize.http.handler import JSON_HEADERS, SSE_HEADERS, HttpReply
from deputize.http.headers import Headers, header, header_safe
from deputize.http.transport import UpstreamResponse
from deputize.store.recording.journal import Intent
from deputize.upstreams.failover import UpstreamAnswer, UpstreamPool
from deputize.upstreams.upstream import Upstream, read_bounded, too_large
from deputize.wire import chat_request as chat_wire
from deputize.wire.dialect import Dialect, ReplyHead, StreamParser
from deputize.wire.events import Assembler, Completion, replay
from deputize.wire.responses_request import chat_to_items
from deputize.wire.sse import FrameSplitter, parse_frame

log = logging.getLogger("deputize.gateway")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


MAX_AUDITS = 32
"""Audits under way at once; beyond that a call goes without."""
INTENT_AFTER_S = 0.02
"""A call that is over sooner leaves its record at once and needs no note of its beginning; others are noted after
once to twice this time."""
_CUT = "The upstream ended its stream before the answer was finished."


class Exchange(msgspec.Struct, gc=True):
    """One call while it is being answered."""

    context: Context
    dialect: Dialect
    fields: dict[str, Any]
    """The decoded request body, as the client sent it."""
    chat: dict[str, Any]
    """The same as a chat request."""
    body: bytes
    """What goes to an upstream of the same protocol; the client's own bytes wherever possible."""
    headers: Mapping[str, str]
    model: str
    """As the client calls it."""
    stream: bool
    query: str = ""
    """What stood behind the path, from its question mark on; an upstream of the same protocol gets it."""
    guest: Caller = Caller()
    outgoing: dict[str, Any] = {}
    """`body`, decoded: the client's fields unless an earlier response of ours had to be written out."""
    history: list[Message] = []
    """The conversation so far without instructions, for `previous_response_id`."""
    several: bool = False
    """Several upstreams could have answered, so it has to be known which one keeps the response."""
    ours: bool = False
    """The answer's id is one of ours, so the conversation has to be kept here."""
    decision: Decision = Decision()
    consulted: RoutingOutcome | None = None
    upstream: str = ""
    first_token: float | None = None
    """perf_counter seconds."""
    ended: bool = False
    """Nothing need be noted of its beginning any more."""


class WatchedStream:
    """A stream whose end is noticed even when nobody has begun to read it."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], never_read: Callable[[], None] = lambda: None
    ) -> None:
        self._pieces = pieces
        self._never_read = never_read
        self._begun = False
        self.ended: Callable[[], None] = lambda: None
        """Called once, when the stream is closed, by whoever reads it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._begun = True
        return self._pieces

    async def __anext__(self) -> bytes:
        self._begun = True
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Gives up what has not been read."""
        if not self._begun:
            # a generator that never ran has no `finally`
            self._begun = True
            self._never_read()
        try:
            await self._pieces.aclose()
        finally:
            ended, self.ended = self.ended, lambda: None
            ended()


class Live:
    """Answers model calls. Knows no server and no path."""

    def __init__(
        self,
        *,
        settings: GatewaySettings,
        upstreams: UpstreamPool,
        consultant: RoutingDecider,
        recorder: CallRecorder,
        sessions: Conversations,
        metrics: Metrics,
        clock_s: Callable[[], float],
        clock: Callable[[], float] = time,
        door: Authenticator,
        draw: Callable[[], float] = random,
    ) -> None:
        """`draw` gives numbers in [0, 1) that decide what is audited."""
        self._door, self._draw = door, draw
        self._audits: set[asyncio.Task[None]] = set()
        self._young: deque[Exchange] = deque()
        """Calls in the order they came, until they are over or their beginning has been noted."""
        self._looks = False
        self._settings = settings
        self._max_answer_bytes = int(settings.max_answer_mb * 1024 * 1024)
        self._upstreams = upstreams
        self._consultant = consultant
        self._recorder = recorder
        self._sessions = sessions
        self._metrics = metrics
        self._clock_s, self._clock = clock_s, clock

    async def answer(self, exchange: Exchange) -> HttpReply:
        """Answers one call; whatever happens to it is recorded.

        Raises:
            BadInput: the request makes no sense; nothing is recorded.
            StoreError: the call could not be kept, so it is not answered.
        """
        context = exchange.context
        self._recorder.admit()
        self._young.append(exchange)
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(INTENT_AFTER_S, self._look_at_young)
        try:
            return await self._answer(exchange)
        except asyncio.CancelledError:
            # the client went away before there was an answer
            self._record_now(exchange, {}, None, status=499)
            raise
        except UpstreamError as error:
            await self._record(exchange, {}, None, status=error.http_status)
            return self.error(exchange, error)
        except DeputizeError:
            exchange.ended = True
            self._recorder.abandon(context.id)  # refused: no model was asked, or the refusal is counted
            raise
        except Exception:
            self._record_now(exchange, {}, None, status=500, by="gateway")
            raise

    def _look_at_young(self) -> None:
        """Notes the beginning of calls that have been under way for a while; one timer for all of them."""
        young, latest = self._young, self._clock_s() - INTENT_AFTER_S
        begun: list[Intent] = []
        while young and (young[0].ended or young[0].context.started <= latest):
            exchange = young.popleft()
            if not exchange.ended:
                begun.append(_intent(exchange))
        if begun:
            self._recorder.begin(*begun)
        self._looks = bool(young)
        if self._looks:
            asyncio.get_running_loop().call_later(INTENT_AFTER_S, self._look_at_young)

    async def _answer(self, exchange: Exchange) -> HttpReply:
        exchange.outgoing = exchange.outgoing or exchange.fields
        owner = await self._continue(exchange)
        if self._consultant.idle and exchange.context.override == "auto":
            consulted = RoutingOutcome(Decision(reason="no_route"))
        else:
            request = chat_wire.request_of(
                exchange.chat, agent=exchange.context.agent, site=exchange.context.site
            )
            only_llm = chat_wire.only_llm_can(exchange.chat) or translate.pinned(exchange.outgoing)
            consulted = await self._consultant.consult(request, exchange.context, only_llm)
        exchange.consulted, exchange.decision = consulted, consulted.decision
        if consulted.answer is not None:
            exchange.ours = True
            return await self._serve(exchange, consulted.answer)
        candidates = self._upstreams.taking(exchange.model)
        if owner:
            candidates = [u for u in candidates if u.name == owner] or candidates
        answer = await self._send(exchange, candidates)
        native = translate.spoken(answer.upstream, exchange.dialect)
        if native.name == "responses" and len(candidates) > 1:
            exchange.several = True
        if native.name == "responses" and answer.incoming.status in (404, 405, 501):
            body = await read_bounded(answer.incoming, self._max_answer_bytes)
            answer.incoming.close()
            if not translate.has_no_endpoint(answer.incoming.status, body):
                return await self._whole(exchange, answer, native, body)
            # a server of the chat protocol only: learnt once, translated from now on
            answer.upstream.without_responses = True
            answer = await self._send(exchange, [answer.upstream])
            native = translate.spoken(answer.upstream, exchange.dialect)
        return await self._relay(exchange, answer, native)

    async def _send(self, exchange: Exchange, candidates: Sequence[Upstream]) -> UpstreamAnswer:
        def prepare(upstream: Upstream) -> tuple[str, Headers, bytes]:
            return translate.prepare(
                upstream,
                exchange.dialect,
                translate.spoken(upstream, exchange.dialect),
                exchange.outgoing,
                exchange.chat,
                exchange.body,
                forward_request_headers(exchange.headers, keep_authorization=not upstream.has_key),
                ask_for_usage=self._settings.ask_for_usage,
                query=exchange.query,
            )

        answer = await self._upstreams.send("POST", candidates, prepare)
        exchange.upstream = answer.upstream.name
        return answer

    # --- conversations ------------------------------------------------------------------------------------------

    async def _continue(self, exchange: Exchange) -> str:
        """Writes out the conversation behind a `previous_response_id` of ours; names the upstream that keeps it else.

        Raises:
            BadInput: an id of ours that is not known (any more).
        """
        if exchange.dialect.name != "responses":
            return ""
        system = 1 if exchange.fields.get("instructions") else 0
        exchange.history = list(exchange.chat["messages"][system:])
        earlier = exchange.fields.get("previous_response_id")
        if not isinstance(earlier, str) or not earlier:
            return ""
        session = await self._sessions.get(exchange.context.tenant, earlier)
        if not earlier.startswith(OURS):
            return session.upstream if session is not None else ""
        if session is None:
            raise BadInput(f"Previous response with id {header_safe(earlier, 80)!r} not found.")
        exchange.history = [*session.messages, *exchange.history]
        messages = [*exchange.chat["messages"][:system], *exchange.history]
        exchange.chat = {**exchange.chat, "messages": messages}
        outgoing = {k: v for k, v in exchange.fields.items() if k != "previous_response_id"}
        exchange.outgoing = {**outgoing, "input": chat_to_items(exchange.history)}
        exchange.body = _encode(exchange.outgoing)
        return ""

    async def _keep_session(self, exchange: Exchange, whole: Completion, response_id: str) -> None:
        """Keeps what a later `previous_response_id` will need."""
        if exchange.dialect.name != "responses" or exchange.fields.get("store") is False or not response_id:
            return
        if exchange.ours:
            session = Conversation(messages=[*exchange.history, whole.message])
        elif exchange.several:
            session = Conversation(upstream=exchange.upstream)
        else:
            return
        context = exchange.context
        await self._sessions.put(context.tenant, context.origin, response_id, session)

    # --- specialist ---------------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange, answer: Completion) -> HttpReply:
        """Answers with what a specialist said; it is whole, so it is recorded first and then written out."""
        exchange.first_token = self._clock_s()
        await self._record(exchange, answer.message, answer)
        if self._settings.audit_share and self._draw() < self._settings.audit_share:
            self._begin_audit(exchange)
        headers = self._answer_headers(exchange)
        id_, created = (
            translate.answer_id(exchange.dialect, exchange.context.id),
            int(exchange.context.arrived_at),
        )
        if not exchange.stream:
            body = exchange.dialect.encode_reply(
                answer, ReplyHead(id_, exchange.model, created, exchange.fields)
            )
            return HttpReply(200, [*JSON_HEADERS, *headers], body)
        writer = exchange.dialect.stream_writer(ReplyHead(id_, exchange.model, created, exchange.fields))

        async def frames() -> AsyncGenerator[bytes, None]:
            for event in replay(answer):
                frame = writer.write(event)
                if frame:
                    yield frame
            tail = writer.end()
            if tail:
                yield tail

        return HttpReply(200, [*SSE_HEADERS, *headers], WatchedStream(frames()))

    # --- audits ---------------------------------------------------------------------------------------------------

    def _begin_audit(self, exchange: Exchange) -> None:
        if len(self._audits) >= MAX_AUDITS:
            self._metrics.add("deputize_audits_total", (("result", "skipped"),))
            return
        task = asyncio.ensure_future(self._audit(exchange))
        self._audits.add(task)
        task.add_done_callback(self._audits.discard)

    async def _audit(self, served: Exchange) -> None:
        """Asks the LLM what a specialist has answered already, and records whether it says the same.

        References:
            A route that goes bad is found by auditing (scoring.monitor).
        """
        consulted = served.consulted
        assert consulted is not None and consulted.prediction is not None and consulted.route is not None
        whole_only = {k: v for k, v in served.outgoing.items() if k not in ("stream", "stream_options")}
        audit = Exchange(
            context=structs.replace(
                served.context,
                id=f"{served.context.id}-audit",
                arrived_at=self._clock(),
                started=self._clock_s(),
            ),
            dialect=served.dialect,
            fields=whole_only,
            chat=served.chat,
            body=_encode(whole_only),
            headers=served.headers,
            model=served.model,
            stream=False,
            query=served.query,
            guest=served.guest,
            outgoing=whole_only,
        )
        try:
            answer = await self._send(audit, self._upstreams.taking(audit.model))
            native = translate.spoken(answer.upstream, audit.dialect)
            try:
                body = await read_bounded(answer.incoming, self._max_answer_bytes)
            finally:
                answer.incoming.close()
            whole = self._parse(native, answer.incoming, body) if answer.incoming.status < 400 else None
            if whole is None or not whole.message:
                self._metrics.add("deputize_audits_total", (("result", "failed"),))
                return
            agrees = shadow_agrees(consulted.prediction, whole.message, consulted.route)
            audit.decision = structs.replace(
                served.decision, served_by="llm", reason="audit", specialist_ms=None, shadow_agrees=agrees
            )
            call = self._call(audit, whole.message, whole, answer.incoming.status, False, self._clock_s())
            await self._recorder.record(call)
        except DeputizeError as error:
            log.warning("an audit failed: %s", error)
            self._metrics.add("deputize_audits_total", (("result", "failed"),))
            return
        result = "unreadable" if agrees is None else "agrees" if agrees else "differs"
        self._metrics.add("deputize_audits_total", (("result", result),))

    async def finish_audits(self, timeout_s: float) -> None:
        """Waits for audits under way; those that take longer are given up, since their calls are recorded already."""
        if self._audits:
            await asyncio.wait(self._audits, timeout=timeout_s)
        for task in list(self._audits):
            task.cancel()

    # --- upstream -----------------------------------------------------------------------------------------------

    async def _relay(self, exchange: Exchange, answer: UpstreamAnswer, native: Dialect) -> HttpReply:
        incoming = answer.incoming
        same = native is exchange.dialect
        exchange.ours = not same
        content_type = header(incoming.headers, "content-type").lower()
        if incoming.status == 200 and content_type.startswith("text/event-stream"):
            reader = native.stream_parser()
            headers = forward_answer_headers(incoming.headers) if same else list(SSE_HEADERS)
            if not any(k == "x-accel-buffering" for k, _ in headers):
                headers.append(("x-accel-buffering", "no"))
            encoding = header(incoming.headers, "content-encoding", "identity")
            if not same:
                writer = exchange.dialect.stream_writer(
                    ReplyHead(
                        translate.answer_id(exchange.dialect, exchange.context.id),
                        exchange.model,
                        int(exchange.context.arrived_at),
                        exchange.fields,
                    )
                )
                stream = self._stream(
                    exchange, incoming, reader, translate.TranslatedStream(writer, encoding)
                )
            elif encoding == "identity":
                asked = self._settings.ask_for_usage and native.name == "chat"
                strip_usage = asked and not chat_wire.wants_usage(exchange.fields)
                stream = self._stream(
                    exchange, incoming, reader, translate.SameProtocolStream(native, reader, strip_usage)
                )
            else:
                stream = self._opaque_stream(exchange, incoming, reader, encoding)

            def never_read() -> None:
                incoming.close()
                self._record_now(exchange, {}, None)

            return HttpReply(
                200, [*headers, *self._answer_headers(exchange)], WatchedStream(stream, never_read)
            )
        try:
            body = await read_bounded(incoming, self._max_answer_bytes)
        except UpstreamError:
            self._metrics.add("deputize_aborted_total", (("by", "upstream"),))
            raise
        finally:
            incoming.close()
        return await self._whole(exchange, answer, native, body)

    async def _whole(
        self, exchange: Exchange, answer: UpstreamAnswer, native: Dialect, body: bytes
    ) -> HttpReply:
        """A whole answer: as it is in the same protocol, written anew in another."""
        incoming, dialect = answer.incoming, exchange.dialect
        status = incoming.status
        whole = self._parse(native, incoming, body)
        good = whole if whole is not None and status < 400 else None
        if native is dialect:
            headers = forward_answer_headers(incoming.headers)
            if good is not None:
                await self._keep_session(exchange, good, good.id)
        else:
            headers = [
                *JSON_HEADERS,
                *((k, v) for k, v in incoming.headers if k == "retry-after" or k.startswith("x-ratelimit")),
            ]
            if good is None or not good.finish_reason:
                status = status if status >= 400 else 502
                message = translate.upstream_message(body)
                body = dialect.error_body(status, message, "upstream_error", None)
            else:
                id_ = translate.answer_id(dialect, exchange.context.id)
                await self._keep_session(exchange, good, id_)
                body = dialect.encode_reply(
                    good, ReplyHead(id_, exchange.model, int(exchange.context.arrived_at), exchange.fields)
                )
        await self._record(exchange, good.message if good is not None else {}, good, status=status)
        return HttpReply(status, [*headers, *self._answer_headers(exchange)], body)

    def _parse(self, dialect: Dialect, incoming: UpstreamResponse, body: bytes) -> Completion | None:
        """A copy of a whole answer, read; None where it cannot be."""
        try:
            value = _decode(decompressor(header(incoming.headers, "content-encoding", "identity"))(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return dialect.parse_reply(value)

    async def _stream(
        self,
        exchange: Exchange,
        incoming: UpstreamResponse,
        reader: StreamParser,
        form: translate.SameProtocolStream | translate.TranslatedStream,
    ) -> AsyncGenerator[bytes, None]:
        """Passes a stream on read by read in a form, reads a copy, and holds the end back until the call is recorded."""
        assembler, splitter, unpack = Assembler(), FrameSplitter(), form.unpack
        held: list[bytes] = []
        recorded = False
        left = self._max_answer_bytes
        try:
            failure: UpstreamError | None = None
            try:
                async for chunk in incoming.chunks():
                    left -= len(chunk)
                    if left < 0:
                        raise too_large(self._max_answer_bytes)
                    out: list[bytes] = []
                    for frame in splitter.feed(chunk if unpack is None else unpack(chunk)):
                        events = reader.read(frame)
                        self._take(exchange, assembler, events)
                        written = form.write(frame, events)
                        if written:
                            # the end is held back: a client that has it counts the call as answered
                            ending = held or assembler.finish_reason or assembler.error or reader.ended
                            (held if ending else out).append(written)
                    if out:
                        yield b"".join(out)
                    if reader.ended:
                        break
            except UpstreamError as error:
                failure = error
            rest = splitter.rest()
            if rest:
                frame = parse_frame(rest)
                events = reader.read(frame)
                self._take(exchange, assembler, events)
                if events or reader.ended:  # half a frame is no frame
                    held.append(form.write(frame, events))
            whole = form.whole(assembler, reader) and not assembler.error
            if whole:
                held.append(form.end())
            else:
                self._metrics.add("deputize_aborted_total", (("by", "upstream"),))
                if not assembler.error:
                    if rest:
                        held.append(b"\n\n")
                    # an end without a reason must not pass for a whole answer
                    held.append(form.fail(str(failure) if failure else _CUT))
            tail = await self._record_stream(exchange, assembler, held, aborted=not whole)
            recorded = True  # cancelled before this: the same id is recorded again, and the store keeps one
            if tail:
                yield tail
        finally:
            incoming.close()
            if not recorded:
                self._record_now(exchange, assembler.message(), assembler.completion())

    async def _opaque_stream(
        self, exchange: Exchange, incoming: UpstreamResponse, reader: StreamParser, encoding: str
    ) -> AsyncGenerator[bytes, None]:
        """A stream that came compressed although asked not to: passed on as it is, a copy unpacked for the record."""
        assembler, splitter, unpack = Assembler(), FrameSplitter(), decompressor(encoding)
        last, recorded, left = b"", False, self._max_answer_bytes
        try:
            async for chunk in incoming.chunks():
                left -= len(chunk)
                if left < 0:
                    raise too_large(self._max_answer_bytes)
                if last:
                    yield last
                last = chunk  # held back until the call is recorded
                for frame in splitter.feed(unpack(chunk)):
                    self._take(exchange, assembler, reader.read(frame))
            last = await self._record_stream(exchange, assembler, [last], aborted=False)
            recorded = True
            if last:
                yield last
        finally:
            incoming.close()
            if not recorded:
                self._record_now(exchange, assembler.message(), assembler.completion())

    def _take(self, exchange: Exchange, assembler: Assembler, events: list[Any]) -> None:
        for event in events:
            assembler.add(event)
        if exchange.first_token is None and assembler.has_output:
            exchange.first_token = self._clock_s()

    async def _record_stream(
        self, exchange: Exchange, assembler: Assembler, held: list[bytes], *, aborted: bool
    ) -> bytes:
        """Records a stream that has ended and gives what was held back; an error frame where it cannot be kept."""
        whole = assembler.completion()
        try:
            if not aborted:
                id_ = (
                    translate.answer_id(exchange.dialect, exchange.context.id) if exchange.ours else whole.id
                )
                await self._keep_session(exchange, whole, id_)
            await self._record(exchange, whole.message, whole, aborted=aborted)
        except StoreError as error:
            return exchange.dialect.error_frame(503, str(error), "store_error", error.code)
        return b"".join(held)

    # --- the record ---------------------------------------------------------------------------------------------

    async def _record(
        self,
        exchange: Exchange,
        message: Message,
        whole: Completion | None,
        *,
        status: int = 200,
        aborted: bool = False,
    ) -> None:
        """Makes the one record of a call and hands it to the recorder.

        Raises:
            StoreError: it could not be kept.
        """
        finished = self._clock_s()
        if exchange.consulted is not None and exchange.consulted.shadow is not None:
            await self._compare_shadow(exchange, message, status, aborted)
        await self._recorder.record(self._call(exchange, message, whole, status, aborted, finished))

    def _record_now(
        self,
        exchange: Exchange,
        message: Message,
        whole: Completion | None,
        *,
        status: int = 200,
        by: str = "client",
    ) -> None:
        """Records what there is of a call that was cut, where nothing can be waited for (a task being cancelled)."""
        self._metrics.add("deputize_aborted_total", (("by", by),))
        if exchange.consulted is not None and exchange.consulted.shadow is not None:
            exchange.consulted.shadow.cancel()
        try:
            self._recorder.record_now(self._call(exchange, message, whole, status, True, self._clock_s()))
        except DeputizeError as error:
            log.error("an aborted call could not be recorded: %s", error)

    def _call(
        self,
        exchange: Exchange,
        message: Message,
        whole: Completion | None,
        status: int,
        aborted: bool,
        finished: float,
    ) -> Call:
        exchange.ended = True
        context, chat, decision = exchange.context, exchange.chat, exchange.decision
        usage = whole.usage if whole is not None else None
        if usage is None and message:
            usage = estimate(exchange.body, message)
        latency_s = finished - context.started
        first = exchange.first_token if exchange.stream else (finished if message else None)
        labels = (("served_by", decision.served_by),)
        self._metrics.add("deputize_calls_total", (*labels, ("reason", decision.reason)))
        self._metrics.observe_s("deputize_call_seconds", latency_s, labels)
        if exchange.stream and first is not None:
            self._metrics.observe_s("deputize_first_token_seconds", first - context.started, labels)
        if usage is not None:
            if decision.served_by == "llm":
                self._door.spent(exchange.guest, exchange.model, usage)
            self._metrics.add("deputize_tokens_total", (*labels, ("direction", "in")), usage.prompt_tokens)
            self._metrics.add(
                "deputize_tokens_total", (*labels, ("direction", "out")), usage.completion_tokens
            )
        return Call(
            id=context.id,
            messages=chat["messages"],
            response=message,
            episode=context.episode,
            group=context.episode,
            agent=context.agent,
            site=context.site,
            model=exchange.model,
            tools=chat.get("tools") or None,
            response_format=_dict(chat.get("response_format")),
            tool_choice=chat.get("tool_choice"),
            params=exchange.dialect.params(exchange.fields),
            audience=context.audience,
            origin=context.origin,
            tenant=context.tenant,
            usage=usage,
            latency_ms=latency_s * 1e3,
            ttft_ms=None if first is None else (first - context.started) * 1e3,
            timestamp=context.arrived_at,
            status=status,
            aborted=aborted,
            finish_reason=whole.finish_reason if whole is not None else "",
            upstream=exchange.upstream,
            protocol=exchange.dialect.name,
            decision=decision,
            source="gateway",
        )

    async def _compare_shadow(self, exchange: Exchange, message: Message, status: int, aborted: bool) -> None:
        consulted = exchange.consulted
        if consulted is None or consulted.shadow is None or consulted.route is None:
            return
        if aborted or status >= 400 or not message:
            consulted.shadow.cancel()
            return
        try:
            async with asyncio.timeout(self._settings.shadow_wait_s):
                prediction = await asyncio.shield(consulted.shadow)
        except (TimeoutError, DeputizeError, OSError, asyncio.CancelledError):
            consulted.shadow.cancel()
            self._metrics.add("deputize_specialist_errors_total", (("reason", "shadow"),))
            return
        exchange.decision = msgspec.structs.replace(
            exchange.decision,
            confidence=prediction.confidence,
            specialist_ms=prediction.latency_ms,
            shadow_agrees=shadow_agrees(prediction, message, consulted.route),
        )

    # --- headers and errors -------------------------------------------------------------------------------------

    def _answer_headers(self, exchange: Exchange) -> Headers:
        decision = exchange.decision
        out = [
            ("x-deputize-served-by", decision.served_by),
            ("x-deputize-request-id", exchange.context.id),
        ]
        if decision.route_id:
            out.append(("x-deputize-route", header_safe(decision.route_id)))
        if decision.confidence is not None:
            out.append(("x-deputize-confidence", f"{decision.confidence:.4f}"))
        if decision.certificate_id:
            out.append(("x-deputize-certificate", header_safe(decision.certificate_id)))
        return out

    def error(self, exchange: Exchange, error: DeputizeError) -> HttpReply:
        """An error in the client's protocol."""
        body = exchange.dialect.error_body(error.http_status, str(error), error.code, error.code)
        return HttpReply(error.http_status, [*JSON_HEADERS, *self._answer_headers(exchange)], body)


def _intent(exchange: Exchange) -> Intent:
    context = exchange.context
    return Intent(
        id=context.id,
        tenant=context.tenant,
        origin=context.origin,
        agent=context.agent,
        site=context.site,
        episode=context.episode,
        model=exchange.model,
        timestamp=context.arrived_at,
    )


def estimate(body: bytes, message: Message) -> Usage:
    """Token counts from sizes (four bytes a token), for upstreams that send none."""
    written = len(str(message.get("content") or "")) + sum(
        len(str(c.get("function", {}).get("name", ""))) + len(str(c.get("function", {}).get("arguments", "")))
        for c in message.get("tool_calls") or []
    )
    return Usage(
        prompt_tokens=max(1, len(body) // 4), completion_tokens=max(1, -(-written // 4)), estimated=True
    )


def _dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
