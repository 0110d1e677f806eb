"""The handler of the gateway's requests. Only wires: which path is answered by what, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter, time
from typing import Any
from urllib.parse import unquote

import msgspec

from deputize.core.errors import DeputizeError, OverLimit, RequestTooLarge, StoreError
from deputize.core.recording_policy import Recording
from deputize.core.records import EVERY_TENANT
from deputize.gateway import error_replies, paths
from deputize.gateway.auth import NOTHING_RESERVED, Authenticator, Caller, NoAuthentication, key_id, key_text
from deputize.gateway.call_telemetry import CallTelemetry
from deputize.gateway.context import RECORDING, CallIds, Context, end_user_of, read_context
from deputize.gateway.conversations import Conversations
from deputize.gateway.denials import NoteDenial
from deputize.gateway.exchange import Exchange
from deputize.gateway.expected_usage import expected_usage
from deputize.gateway.feedback import read_feedback, unknown_subject
from deputize.gateway.forwarding import forward_query
from deputize.gateway.gateway_log import log_bug
from deputize.gateway.live_masking import LiveMasker
from deputize.gateway.metrics import Metrics
from deputize.gateway.model_calls import ModelCallHandler
from deputize.gateway.other_endpoints import OtherEndpoints, OtherRequest
from deputize.gateway.page_process import PageProcess
from deputize.gateway.passthrough import Passthrough
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.settings import GatewaySettings
from deputize.gateway.trace_context import TraceContext, trace_context_of
from deputize.gateway.traces import TraceReceiver
from deputize.gateway.watched_stream import WatchedStream
from deputize.gateway.web_pages import WebPages
from deputize.http.admission import Admitted, SharedBudget
from deputize.http.content_encoding import unpack_request
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.store.access.roles import Right, require
from deputize.upstreams.failover import UpstreamPool
from deputize.wire.chat_request import check_names_one_model, decode_object
from deputize.wire.dialect import Dialect
from deputize.wire.json_limits import MAX_VALUES
from deputize.wire.registry import ALL_DIALECTS, CHAT, MESSAGES

_Answer = Callable[["_Asked", bytes], Awaitable[HttpReply]]
"""(request without its body, body) -> reply"""

_BIG_BODY_BYTES = 1 << 20
"""A larger body is decoded in a thread, so that others need not wait for it."""
_BYTES_PER_VALUE, _FEW_VALUES = 64, 10_000
_HEALTH_PAUSE_S = 0.02


class _Asked:
    """A request that was admitted by its head, and what it holds while it is answered."""

    __slots__ = ("caller", "headers", "method", "model", "n_bytes", "owner", "path", "reservation")

    def __init__(
        self, method: str, path: str, headers: Mapping[str, str], caller: Caller, model: str = ""
    ) -> None:
        self.method, self.path, self.headers, self.caller = method, path, headers, caller
        self.model = model
        """As the path names it; "" where it names none."""
        self.owner = owner_of(caller)
        """Whom concurrency and bytes count for."""
        self.n_bytes = 0
        """Taken of the budget for bodies, for decoded values."""
        self.reservation = NOTHING_RESERVED

    @property
    def forwarded_path(self) -> str:
        """The path with its query, as an upstream may see it."""
        bare, mark, query = self.path.partition("?")
        return bare + forward_query(mark + query)


class Gateway:
    """One process's gateway. `await gateway(method, path, headers, body)` answers one request."""

    def __init__(
        self,
        *,
        settings: GatewaySettings,
        live: ModelCallHandler,
        upstreams: UpstreamPool,
        recorder: CallRecorder,
        metrics: Metrics,
        telemetry: CallTelemetry,
        pseudonym: Callable[[str, str], str],
        authenticator: Authenticator | None = None,
        clock: Callable[[], float] = time,
        clock_s: Callable[[], float] = perf_counter,
        call_id: Callable[[], str] | None = None,
        gather_metrics: Callable[[Metrics], Awaitable[Metrics]] | None = None,
        note_denial: NoteDenial | None = None,
        conversations: Conversations | None = None,
        recording: Recording = RECORDING,
        masker: LiveMasker | None = None,
        pages: PageProcess | None = None,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            telemetry: is told of each call that has ended.
            pseudonym: (raw origin, tenant) -> pseudonym.
            authenticator: None: everybody may ask.
            clock, clock_s: Unix seconds, perf_counter seconds.
            gather_metrics: (those of this process) -> the metrics of all workers; None: there is one.
            note_denial: is told of every refusal.
            conversations: know to whom responses that an upstream keeps were given.
            recording: what is kept of calls.
            masker: masks personal data in what LLMs are asked besides model calls; None: nothing is masked.
            pages: makes the pages at /ui; None: there are none.
            refresh: updates the metrics of other parts.
        """
        self.settings, self.metrics = settings, metrics
        self._live, self._recorder, self._pseudonym = live, recorder, pseudonym
        self._authenticator = authenticator or NoAuthentication()
        shared: dict[str, Any] = {
            "upstreams": upstreams,
            "recorder": recorder,
            "authenticator": self._authenticator,
            "telemetry": telemetry,
            "masker": masker,
            "clock_s": clock_s,
            "max_answer_bytes": int(settings.max_answer_mb * 1024 * 1024),
        }
        self._passthrough = Passthrough(**shared)
        self._other_endpoints = OtherEndpoints(**shared, conversations=conversations)
        self._upstreams, self._recording, self.ready = upstreams, recording, True
        self._traces = TraceReceiver(recorder, pseudonym, recording)
        self._clock, self._clock_s, self._call_id = clock, clock_s, call_id or CallIds()
        self._gather_metrics, self._note_denial, self._refresh = gather_metrics, note_denial, refresh
        any_address, self._ui = settings.allow_open_bind, pages
        self._pages = WebPages(settings.allowed_hosts, settings.allowed_origins, any_address=any_address)
        self._in_flight = SharedBudget(settings.max_concurrency)
        self.bodies = SharedBudget(int(settings.max_bodies_mb * 1024 * 1024))
        """The server's, where there is one: decoded values count as bytes of their body."""
        self._answers = self._answers_by_path()

    def _answers_by_path(self) -> dict[str, _Answer]:
        return {
            **{dialect.path: partial(self._model_call, dialect) for dialect in ALL_DIALECTS},
            paths.COUNT_TOKENS: self._count_tokens,
            paths.EMBEDDINGS: self._embeddings,
            paths.MODELS: self._models,
            paths.FEEDBACK: self._feedback,
            paths.TRACES: self._take_traces,
            paths.METRICS: self._metrics,
            paths.OTHER.path: self._other,
        }

    # --- admission -----------------------------------------------------------------------------------------------

    def admit(self, method: str, path: str, headers: Mapping[str, str]) -> Admitted | HttpReply:
        """Decides on a request by its head, before its body is read; every error becomes a reply."""
        bare, mark, query = path.partition("?")
        if not bare.startswith("/v1/"):
            bare, model = paths.canonical_path(bare, headers.get("host", ""))
            path = bare + mark + query
        else:
            model = ""
        try:
            found = self._admit(method, path, bare, headers, model)
        except DeputizeError as error:
            found = self._refuse(paths.error_dialect(bare), error, bare, key_text(headers))
        except Exception as error:  # noqa: BLE001 - the edge: a bug answers 500 and is logged without its payload
            log_bug(error)
            found = error_replies.internal_error(paths.error_dialect(bare))
        if isinstance(found, HttpReply):
            self._count_request(bare, found.status)
            return self._for_page(found, headers)
        return found

    def _admit(
        self, method: str, path: str, bare: str, headers: Mapping[str, str], model: str
    ) -> Admitted | HttpReply:
        endpoint = paths.endpoint_at(bare)
        if endpoint is None or (endpoint.path == paths.UI and not self._ui):
            return error_replies.not_found(paths.error_dialect(bare), bare, paths.meant_path(bare))
        if endpoint.path == paths.UI and self._ui is not None:
            return self._ui.admit(method, path, headers, partial(self._count_request, paths.UI))
        if method == "OPTIONS":
            allowed = self._pages.preflight(headers, endpoint.method)
            if allowed is not None:
                return HttpReply(204, allowed, b"")
        if endpoint.method and method != endpoint.method and (method, endpoint.method) != ("HEAD", "GET"):
            return error_replies.wrong_method(endpoint.dialect, method, endpoint.method)
        if endpoint.right is None:
            # always answered: whoever watches the gateway must not take a busy one for dead
            answer = self._health if endpoint.path == paths.HEALTH else partial(self._status, endpoint.path)
            return Admitted(answer, pause_s=_HEALTH_PAUSE_S)
        caller = self._authenticator.authenticate(headers, endpoint.right)
        if caller.key is None:
            self._pages.check_keyless(method, headers)
        asked = _Asked(method, path, headers, caller, model)
        if not self._in_flight.would_take(asked.owner, 1):
            return self._refuse(
                paths.error_dialect(bare), self._too_many(), bare, key_text(headers), caller.tenant
            )
        return Admitted(partial(self._answer, self._answers[endpoint.path], bare, asked), asked.owner)

    @staticmethod
    def _too_many() -> OverLimit:
        return OverLimit("The gateway is answering as many requests as it may; try again.", 1.0)

    def _for_page(self, reply: HttpReply, headers: Mapping[str, str]) -> HttpReply:
        """A reply that a web page may read, where its origin is listed."""
        if "origin" in headers:
            more = self._pages.cors_headers(headers)
            if more and not any(name == "access-control-allow-origin" for name, _ in reply.headers):
                return HttpReply(reply.status, [*reply.headers, *more], reply.body)
        return reply

    # --- answering -----------------------------------------------------------------------------------------------

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Answers one request; every error becomes a reply."""
        admitted = self.admit(method, path, headers)
        return admitted if isinstance(admitted, HttpReply) else await admitted.answer(body)

    async def _answer(self, answer: _Answer, bare: str, asked: _Asked, body: bytes) -> HttpReply:
        try:
            if not self._in_flight.take(asked.owner, 1):
                raise self._too_many()
            try:
                if "content-encoding" in asked.headers:
                    body = await self._unpacked(asked, body)
                reply = await answer(asked, body)
            except BaseException:
                self._release(asked)
                raise
            if isinstance(reply.body, bytes):
                self._release(asked)
            else:  # a stream is in flight until its last byte
                body_stream = WatchedStream(reply.body, partial(self._stream_closed, asked))
                reply = HttpReply(reply.status, reply.headers, body_stream)
        except asyncio.CancelledError:
            self._count_request(bare, 499)
            raise
        except DeputizeError as error:
            key, tenant = key_text(asked.headers), asked.caller.tenant
            reply = self._refuse(paths.error_dialect(bare), error, bare, key, tenant)
        except Exception as error:  # noqa: BLE001 - the edge: a bug answers 500 and is logged without its payload
            log_bug(error)
            reply = error_replies.internal_error(paths.error_dialect(bare))
        self._count_request(bare, reply.status)
        return self._for_page(reply, asked.headers)

    def _release(self, asked: _Asked) -> None:
        self._in_flight.give(asked.owner, 1)
        if asked.n_bytes:
            self.bodies.give(asked.owner, asked.n_bytes)
        if asked.reservation is not NOTHING_RESERVED:
            self._authenticator.release(asked.reservation)

    async def _stream_closed(self, asked: _Asked) -> None:
        self._release(asked)

    async def _unpacked(self, asked: _Asked, body: bytes) -> bytes:
        """The body without its compression."""
        max_bytes = int(self.settings.max_body_mb * 1024 * 1024)
        unpack = partial(unpack_request, body, asked.headers["content-encoding"], max_bytes)
        plain = await asyncio.get_running_loop().run_in_executor(None, unpack)
        more = max(0, len(plain) - len(body))
        if not self.bodies.take(asked.owner, more):
            raise OverLimit("The gateway holds as many request bodies as it may; try again.", 1.0)
        asked.n_bytes += more
        return plain

    async def _fields(self, asked: _Asked, body: bytes) -> dict[str, Any]:
        """The decoded body."""
        check_body_model = asked.caller.key is not None and bool(asked.caller.key.models)
        if len(body) > _FEW_VALUES and (n_values := sum(map(body.count, (b",", b"[", b"{")))) > _FEW_VALUES:
            n_bytes = _BYTES_PER_VALUE * min(n_values, MAX_VALUES)
            if not self.bodies.take(asked.owner, n_bytes):
                raise OverLimit("The gateway holds as many request bodies as it may; try again.", 1.0)
            asked.n_bytes += n_bytes
        if len(body) <= _BIG_BODY_BYTES:
            return _decode(body, check_body_model)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, _decode, body, check_body_model)

    # --- model calls ---------------------------------------------------------------------------------------------

    async def _model_call(self, dialect: Dialect, asked: _Asked, body: bytes) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        fields = await self._fields(asked, body)
        if asked.model and fields.get("model") != asked.model:
            fields = {**fields, "model": asked.model}
            body = msgspec.json.encode(fields)
        await self._admit_call(asked, fields, body)
        caller = asked.caller
        context = self._context(asked, now, started, fields)
        if context.override == "slm" and caller.key is not None:
            require(caller.key.actor, Right.OVERRIDE_ROUTES)
        exchange = Exchange(
            context=context,
            dialect=dialect,
            fields=fields,
            chat=dialect.to_chat(fields),
            body=body,
            outgoing=fields,
            headers=asked.headers,
            query=forward_query(asked.path[len(dialect.path) :]),
            model=str(fields.get("model") or ""),
            stream=fields.get("stream") is True,
            caller=caller,
        )
        return await self._live.answer(exchange)

    async def _admit_call(self, asked: _Asked, fields: dict[str, Any], body: bytes) -> None:
        """Checks that the caller may ask for the model, and sets aside what the call may cost."""
        if asked.caller.key is None:
            return
        model = fields.get("model")
        asked.reservation = await self._authenticator.admit_call(
            asked.caller, model if isinstance(model, str) else "", expected_usage(fields, body)
        )

    def _context(self, asked: _Asked, now: float, started: float, fields: Mapping[str, Any]) -> Context:
        """The context of a call; its upstream is told of the span that it gets."""
        trace: TraceContext | None = None
        if self.settings.otel.enabled:
            trace = trace_context_of(asked.headers, self.settings.otel.sample_share)
            asked.headers = trace.told(asked.headers)
        return read_context(
            asked.headers,
            pseudonym=self._pseudonym,
            now=now,
            started=started,
            call_id=self._call_id(),
            tenant=asked.caller.tenant,
            end_user=end_user_of(fields),
            recording=self._recording,
            trace=trace,
        )

    # --- the rest ------------------------------------------------------------------------------------------------

    async def _count_tokens(self, asked: _Asked, body: bytes) -> HttpReply:
        fields = await self._fields(asked, body)
        MESSAGES.to_chat(fields)
        await self._admit_call(asked, fields, body)
        return await self._passthrough.count_tokens(asked.forwarded_path, asked.headers, fields, body)

    async def _embeddings(self, asked: _Asked, body: bytes) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        fields = await self._fields(asked, body)
        await self._admit_call(asked, fields, body)
        context = self._context(asked, now, started, fields)
        return await self._passthrough.embeddings(
            asked.forwarded_path, asked.headers, fields, body, context, asked.caller
        )

    async def _models(self, asked: _Asked, body: bytes) -> HttpReply:
        await self._authenticator.take_turn(asked.caller)
        bare, _, _ = asked.path.partition("?")
        # clients write the slash in a name as %2F
        wanted = unquote(bare.removeprefix(paths.MODELS)).strip("/")
        return await self._passthrough.models(asked.forwarded_path, wanted, asked.headers, asked.caller)

    async def _other(self, asked: _Asked, body: bytes) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        declared = asked.headers.get("content-type", "")
        fields = await self._fields(asked, body) if body and "json" in declared else {}
        context = self._context(asked, now, started, fields)
        request = OtherRequest(
            method=asked.method,
            path=asked.forwarded_path,
            headers=asked.headers,
            body=body,
            fields=fields,
            context=context,
            caller=asked.caller,
        )
        if request.asks_a_model:
            await self._admit_call(asked, {**fields, "model": request.model}, body)
        else:
            await self._authenticator.take_turn(asked.caller)
        return await self._other_endpoints.answer(request)

    async def _feedback(self, asked: _Asked, body: bytes) -> HttpReply:
        await self._authenticator.take_turn(asked.caller)
        if len(body) <= _BIG_BODY_BYTES:
            feedback = read_feedback(body)
        else:
            feedback = await asyncio.get_running_loop().run_in_executor(None, read_feedback, body)
        caller = asked.caller
        tenant = "" if caller.key is not None and caller.key.tenant == EVERY_TENANT else caller.tenant
        if sentence := await unknown_subject(self._recorder, feedback, tenant):
            return error_replies.unknown(paths.error_dialect(asked.path), sentence)
        await self._recorder.add_feedback(
            episode=feedback.episode,
            call_id=feedback.call_id,
            metric=feedback.metric,
            value=feedback.value,
            tenant=tenant,
            correction=feedback.correction,
        )
        return HttpReply(200, list(JSON_HEADERS), b'{"recorded":true}')

    async def _take_traces(self, asked: _Asked, body: bytes) -> HttpReply:
        await self._authenticator.take_turn(asked.caller)
        return await self._traces.receive(asked.headers, body, asked.caller.tenant)

    async def _metrics(self, asked: _Asked, body: bytes) -> HttpReply:
        self.refresh_metrics()
        found, key, gather = self.metrics, asked.caller.key, self._gather_metrics
        found = await gather(found) if gather is not None else found
        if key is not None and key.tenant != EVERY_TENANT:
            found = found.of_tenant(key.tenant)
        return HttpReply(200, [("content-type", "text/plain; version=0.0.4; charset=utf-8")], found.text())

    async def _health(self, body: bytes) -> HttpReply:
        status, text = (200, b'{"status":"ok"}') if self.ready else (503, b'{"status":"draining"}')
        self._count_request(paths.HEALTH, status)
        return HttpReply(status, list(JSON_HEADERS), text)

    async def _status(self, path: str, body: bytes) -> HttpReply:
        """The root, for clients that look whether anybody is there, and whether calls can be taken now."""
        reasons = self._not_ready() if path == paths.READY else []
        self._count_request(path, 503 if reasons else 200)
        value = {"status": "not ready", "reasons": reasons} if reasons else {"status": "ok"}
        return HttpReply(503 if reasons else 200, list(JSON_HEADERS), msgspec.json.encode(value))

    def _not_ready(self) -> list[str]:
        """Reasons why no more calls should be sent here now; [] where there are none."""
        reasons = [] if self.ready else ["draining"]
        try:
            self._recorder.admit()  # a store that is away stops nobody while its calls have room in the journal
        except StoreError as error:
            reasons.append(str(error))
        reasons += ["every upstream has failed several times in a row"] * self._upstreams.all_left_alone()
        return reasons

    def refresh_metrics(self) -> None:
        """Updates the counters that other parts keep."""
        self._refresh()
        self.metrics.set("deputize_in_flight", self._in_flight.used)
        for name, value in self._recorder.counts().items():
            if name in ("pending", "under_way"):
                self.metrics.set(f"deputize_recorder_{name}", value)
            else:
                self.metrics.counter(f"deputize_recorder_{name}_total")[0] = value
        self.metrics.set("deputize_recorder_failing", 1.0 if self._recorder.stats().failing else 0.0)

    # --- refusals ------------------------------------------------------------------------------------------------

    def refusal(self, status: int, sentence: str) -> HttpReply:
        """The reply to bytes that the HTTP server cannot take as a request."""
        if status == 413:
            limit = RequestTooLarge(f"The request body is larger than {self.settings.max_body_mb:g} MB.")
            self._count_request("too_large", 413)
            return self._refuse(CHAT, limit)
        if status == 429:
            self._count_request("over_limit", 429)
            return self._refuse(CHAT, OverLimit(sentence, 1.0))
        self.metrics.add("deputize_refused_total", (("reason", f"http_{status}"), ("tenant", "")))
        self._count_request("malformed", status)
        return error_replies.malformed(status, sentence)

    def _refuse(
        self, dialect: Dialect, error: DeputizeError, bare: str = "", key: str = "", tenant: str = ""
    ) -> HttpReply:
        if self._note_denial is not None:
            self._note_denial(error, bare if bare in paths.ENDPOINTS else "other", key_id(key))
        self.metrics.add("deputize_refused_total", (("reason", error.code), ("tenant", tenant)))
        return error_replies.refused(dialect, error)

    def _count_request(self, path: str, status: int) -> None:
        known = path if path in paths.ENDPOINTS else "other"
        self.metrics.add("deputize_requests_total", (("path", known), ("status", str(status))))


def owner_of(caller: Caller) -> str:
    """Whom a caller's share of the gateway counts for: its key; "" where there are no keys."""
    return caller.key.id if caller.key is not None else ""


def _decode(body: bytes, check_model: bool) -> dict[str, Any]:
    fields = decode_object(body)
    if check_model:
        # the upstream reads the body itself, and servers differ in which of two values they use
        check_names_one_model(body)
    return fields
