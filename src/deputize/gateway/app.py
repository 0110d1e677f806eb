"""The handler of the gateway's requests. Only wires: which path is answered by what, and what is counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter, time
from typing import Any

from deputize.core.errors import DeputizeError, OverLimit, RequestTooLarge
from deputize.gateway import error_replies, paths
from deputize.gateway.auth import Authenticator, Caller, NoAuthentication
from deputize.gateway.context import CallIds, Context, read_context
from deputize.gateway.exchange import Exchange
from deputize.gateway.feedback import read_feedback
from deputize.gateway.live import Live
from deputize.gateway.metrics import Metrics
from deputize.gateway.passthrough import Passthrough
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.settings import GatewaySettings
from deputize.gateway.watched_stream import WatchedStream
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.store.access.roles import EVERY_TENANT, Right
from deputize.upstreams.failover import UpstreamPool
from deputize.wire.chat_request import check_named_once, decode_object
from deputize.wire.dialect import Dialect
from deputize.wire.registry import CHAT, DIALECTS, MESSAGES

log = logging.getLogger("deputize.gateway")

_Answer = Callable[[str, Mapping[str, str], bytes], Awaitable[HttpReply]]
"""(path with its query, headers, body) -> reply"""


class Gateway:
    """One process's gateway. `await gateway(method, path, headers, body)` answers one request."""

    def __init__(
        self,
        *,
        settings: GatewaySettings,
        live: Live,
        upstreams: UpstreamPool,
        recorder: CallRecorder,
        metrics: Metrics,
        pseudonym: Callable[[str, str], str],
        authenticator: Authenticator | None = None,
        clock: Callable[[], float] = time,
        clock_s: Callable[[], float] = perf_counter,
        call_id: Callable[[], str] | None = None,
        gather_metrics: Callable[[Metrics], bytes] = Metrics.text,
    ) -> None:
        """
        Args:
            pseudonym: (raw origin, tenant) -> pseudonym.
            authenticator: None: everybody may ask.
            clock: Unix seconds.
            clock_s: perf_counter seconds.
            call_id: makes ids for calls.
            gather_metrics: the metrics of all workers, as Prometheus text.
        """
        self.settings = settings
        self.metrics = metrics
        self._live = live
        self._recorder = recorder
        self._pseudonym = pseudonym
        self._authenticator = authenticator or NoAuthentication()
        self._passthrough = Passthrough(
            settings=settings,
            upstreams=upstreams,
            recorder=recorder,
            authenticator=self._authenticator,
            clock_s=clock_s,
        )
        self._clock, self._clock_s, self._call_id = clock, clock_s, call_id or CallIds()
        self._gather_metrics = gather_metrics
        self._n_in_flight = 0
        self.ready = True
        self._answers: dict[str, _Answer] = {
            **{dialect.path: partial(self._model_call, dialect) for dialect in DIALECTS},
            paths.COUNT_TOKENS: self._count_tokens,
            paths.EMBEDDINGS: self._embeddings,
            paths.MODELS: self._models,
            paths.FEEDBACK: self._feedback,
            paths.METRICS: self._metrics,
            paths.HEALTH: self._health,
        }

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Answers one request; every error becomes a reply."""
        bare, _, _ = path.partition("?")
        try:
            if self._n_in_flight >= self.settings.max_concurrency:
                raise OverLimit("The gateway is answering as many requests as it may; try again.", 1.0)
            self._n_in_flight += 1
            try:
                reply = await self._dispatch(method, path, bare, headers, body)
            except BaseException:
                self._one_less()
                raise
            if isinstance(reply.body, bytes):
                self._one_less()
            else:  # a stream is in flight until its last byte
                body_stream = WatchedStream(reply.body, self._stream_closed)
                reply = HttpReply(reply.status, reply.headers, body_stream)
        except asyncio.CancelledError:
            self._count_request(bare, 499)
            raise
        except DeputizeError as error:
            reply = self._refuse(paths.error_dialect(bare), error)
        except Exception as error:  # noqa: BLE001 - the edge: a bug answers 500 and is logged without its payload
            _log_bug(error)
            reply = error_replies.internal_error(paths.error_dialect(bare))
        self._count_request(bare, reply.status)
        return reply

    def _one_less(self) -> None:
        self._n_in_flight -= 1

    async def _stream_closed(self) -> None:
        self._one_less()

    async def _dispatch(
        self, method: str, path: str, bare: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        endpoint = paths.endpoint_at(bare)
        if endpoint is None:
            return error_replies.not_found(bare)
        if endpoint.method and method != endpoint.method:
            return error_replies.wrong_method(endpoint.dialect, method, endpoint.method)
        return await self._answers[endpoint.path](path, headers, body)

    # --- model calls ---------------------------------------------------------------------------------------------

    async def _model_call(
        self, dialect: Dialect, path: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        fields = decode_object(body)
        caller = self._authenticate(headers, fields, body)
        context = self._context(headers, caller, now, started)
        exchange = Exchange(
            context=context,
            dialect=dialect,
            fields=fields,
            chat=dialect.to_chat(fields),
            body=body,
            outgoing=fields,
            headers=headers,
            query=path[len(dialect.path) :],
            model=str(fields.get("model") or ""),
            stream=fields.get("stream") is True,
            caller=caller,
        )
        return await self._live.answer(exchange)

    def _authenticate(self, headers: Mapping[str, str], fields: dict[str, Any], body: bytes) -> Caller:
        """The caller of a request for a model."""
        model = fields.get("model")
        caller = self._authenticator.authenticate(
            headers, Right.WRITE_CALLS, model if isinstance(model, str) else ""
        )
        if caller.key is not None and caller.key.models:
            # the upstream reads the body itself, and servers differ in which of two values they use
            check_named_once(body, "model")
        return caller

    def _context(self, headers: Mapping[str, str], caller: Caller, now: float, started: float) -> Context:
        return read_context(
            headers,
            pseudonym=self._pseudonym,
            now=now,
            started=started,
            call_id=self._call_id(),
            tenant=caller.tenant,
        )

    # --- the rest ------------------------------------------------------------------------------------------------

    async def _count_tokens(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        fields = decode_object(body)
        MESSAGES.to_chat(fields)
        self._authenticate(headers, fields, body)
        return await self._passthrough.count_tokens(path, headers, fields, body)

    async def _embeddings(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        fields = decode_object(body)
        caller = self._authenticate(headers, fields, body)
        context = self._context(headers, caller, now, started)
        return await self._passthrough.embeddings(path, headers, fields, body, context, caller)

    async def _models(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        caller = self._authenticator.authenticate(headers, Right.WRITE_CALLS)
        bare, _, _ = path.partition("?")
        wanted = bare.removeprefix(paths.MODELS).strip("/")
        return await self._passthrough.models(path, wanted, headers, caller)

    async def _feedback(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        caller = self._authenticator.authenticate(headers, Right.WRITE_FEEDBACK)
        feedback = read_feedback(body)
        every_tenant = caller.key is not None and caller.key.tenant == EVERY_TENANT
        await self._recorder.add_feedback(
            episode=feedback.episode,
            call_id=feedback.call_id,
            metric=feedback.metric,
            value=feedback.value,
            tenant="" if every_tenant else caller.tenant,
        )
        return HttpReply(200, list(JSON_HEADERS), b'{"recorded":true}')

    async def _metrics(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self._authenticator.authenticate(headers, Right.SEE_STATUS)
        self.refresh_metrics()
        text = self._gather_metrics(self.metrics)
        return HttpReply(200, [("content-type", "text/plain; version=0.0.4; charset=utf-8")], text)

    async def _health(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        if self.ready:
            return HttpReply(200, list(JSON_HEADERS), b'{"status":"ok"}')
        return HttpReply(503, list(JSON_HEADERS), b'{"status":"draining"}')

    def refresh_metrics(self) -> None:
        """Updates the counters that other parts keep."""
        self.metrics.set("deputize_in_flight", self._n_in_flight)
        for name, value in self._recorder.counts().items():
            kept = "gauges" if name in ("pending", "under_way") else "counters"
            suffix = "" if kept == "gauges" else "_total"
            getattr(self.metrics, kept)[(f"deputize_recorder_{name}{suffix}", ())] = value
        self.metrics.set("deputize_recorder_failing", 1.0 if self._recorder.stats().failing else 0.0)

    # --- refusals ------------------------------------------------------------------------------------------------

    def refusal(self, status: int, sentence: str) -> HttpReply:
        """The reply to bytes that the HTTP server cannot take as a request."""
        if status == 413:
            limit = RequestTooLarge(f"The request body is larger than {self.settings.max_body_mb:g} MB.")
            self._count_request("too_large", 413)
            return self._refuse(CHAT, limit)
        self.metrics.add("deputize_refused_total", (("reason", f"http_{status}"),))
        self._count_request("malformed", status)
        return error_replies.malformed(status, sentence)

    def _refuse(self, dialect: Dialect, error: DeputizeError) -> HttpReply:
        self.metrics.add("deputize_refused_total", (("reason", error.code),))
        return error_replies.refused(dialect, error)

    def _count_request(self, path: str, status: int) -> None:
        known = path if path in paths.ENDPOINTS else "other"
        self.metrics.add("deputize_requests_total", (("path", known), ("status", str(status))))


def _log_bug(error: Exception) -> None:
    """Logs where an error came from, without its message, which may hold a caller's text."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
    log.error("internal error: %s at %s", type(error).__name__, line)
