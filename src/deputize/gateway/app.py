"""The handler: which path does what, who may come in, what an error looks like. Only wires."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import perf_counter, time
from typing import Any

from deputize.core.errors import BadInput, DeputizeError, NotAuthenticated, OverLimit, RequestTooLarge
from deputize.gateway.auth import Authenticator, Caller, NoAuthentication
from deputize.gateway.context import CallIds, Context, read_context
from deputize.gateway.live import Exchange, Live, WatchedStream
from deputize.gateway.metrics import Metrics
from deputize.gateway.passthrough import Passthrough
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.settings import GatewaySettings
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.store.access.roles import EVERY_TENANT, Right
from deputize.upstreams.failover import UpstreamPool
from deputize.wire.chat_request import check_named_once, decode_object
from deputize.wire.chat_writer import error_body
from deputize.wire.dialect import Dialect
from deputize.wire.registry import CHAT, DIALECTS, MESSAGES

log = logging.getLogger("deputize.gateway")


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
        door: Authenticator | None = None,
        clock: Callable[[], float] = time,
        clock_s: Callable[[], float] = perf_counter,
        call_id: Callable[[], str] | None = None,
        gather_metrics: Callable[[Metrics], bytes] = Metrics.text,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self._live = live
        self._recorder = recorder
        self._pseudonym = pseudonym
        self._door = door or NoAuthentication()
        self._beside = Passthrough(
            settings=settings, upstreams=upstreams, recorder=recorder, door=self._door, clock_s=clock_s
        )
        self._clock, self._clock_s, self._call_id = clock, clock_s, call_id or CallIds()
        self._gather_metrics = gather_metrics
        self._n_in_flight = 0
        self.ready = True
        self._dialects: dict[str, Dialect] = {d.path: d for d in DIALECTS}

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Answers one request; every error becomes an answer."""
        bare, _, _ = path.partition("?")
        dialect = self._dialects.get(bare) or (MESSAGES if bare.startswith(MESSAGES.path) else CHAT)
        try:
            if self._n_in_flight >= self.settings.max_concurrency:
                raise OverLimit("The gateway is answering as many requests as it may; try again.", 1.0)
            self._n_in_flight += 1
            try:
                reply = await self._dispatch(method, path, bare, headers, body)
            except BaseException:
                self._one_less()
                raise
            if isinstance(reply.body, WatchedStream):
                reply.body.ended = self._one_less  # a stream is under way until its last byte
            else:
                self._one_less()
        except asyncio.CancelledError:
            self._count(bare, 499)
            raise
        except DeputizeError as error:
            reply = self._refuse(dialect, error)
        except Exception as error:  # noqa: BLE001 - the edge: a bug answers 500 and is logged without its payload
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
            log.error("internal error: %s at %s", type(error).__name__, line)
            body = dialect.error_body(
                500, "The gateway failed on this request; it has been logged.", "internal_error", None
            )
            reply = HttpReply(500, list(JSON_HEADERS), body)
        self._count(bare, reply.status)
        return reply

    def _one_less(self) -> None:
        self._n_in_flight -= 1

    async def _dispatch(
        self, method: str, path: str, bare: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        dialect = self._dialects.get(bare)
        if dialect is None and (".." in bare or "%" in bare or "//" in bare):
            raise BadInput(
                "The path is not one of the gateway's."
            )  # none of ours needs these; they climb elsewhere
        known = "/v1/models" if bare.startswith("/v1/models/") else bare
        if known not in PATHS:
            return HttpReply(
                404,
                list(JSON_HEADERS),
                error_body(404, f"There is nothing at {bare[:200]}.", "invalid_request_error", "not_found"),
            )
        if dialect is not None:
            if method != "POST":
                return _wrong_method(dialect, method, "POST")
            return await self._model_call(dialect, path[len(bare) :], headers, body)
        if bare == "/healthz":
            return HttpReply(
                200 if self.ready else 503,
                list(JSON_HEADERS),
                b'{"status":"ok"}' if self.ready else b'{"status":"draining"}',
            )
        if bare == "/metrics":
            self._door.enter(headers, Right.SEE_STATUS)
            return HttpReply(
                200, [("content-type", "text/plain; version=0.0.4; charset=utf-8")], self._metrics_text()
            )
        if bare == "/v1/deputize/feedback":
            if method != "POST":
                return _wrong_method(CHAT, method, "POST")
            return await self._take_feedback(headers, body)
        if bare == "/v1/embeddings":
            if method != "POST":
                return _wrong_method(CHAT, method, "POST")
            return await self._embeddings(path, headers, body)
        if bare == COUNT_TOKENS:
            if method != "POST":
                return _wrong_method(MESSAGES, method, "POST")
            fields = decode_object(body)
            MESSAGES.to_chat(fields)
            self._enter(headers, fields, body)
            return await self._beside.count_tokens(path, headers, fields, body)
        if bare == "/v1/models" or bare.startswith("/v1/models/"):
            if method != "GET":
                return _wrong_method(CHAT, method, "GET")
            guest = self._door.enter(headers, Right.WRITE_CALLS)
            return await self._beside.models(path, bare, headers, guest)
        raise AssertionError(f"{known} has a line in PATHS and nothing that answers")

    # --- model calls ---------------------------------------------------------------------------------------------

    async def _model_call(
        self, dialect: Dialect, query: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        fields = decode_object(body)
        guest = self._enter(headers, fields, body)
        context = self._context(headers, guest, now, started)
        exchange = Exchange(
            context=context,
            dialect=dialect,
            fields=fields,
            chat=dialect.to_chat(fields),
            body=body,
            headers=headers,
            query=query,
            model=str(fields.get("model") or ""),
            stream=fields.get("stream") is True,
            guest=guest,
        )
        return await self._live.answer(exchange)

    async def _embeddings(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        started, now = self._clock_s(), self._clock()
        fields = decode_object(body)
        guest = self._enter(headers, fields, body)
        context = self._context(headers, guest, now, started)
        return await self._beside.embeddings(path, headers, fields, body, context, guest)

    def _enter(self, headers: Mapping[str, str], fields: dict[str, Any], body: bytes) -> Caller:
        """Lets a request for a model in."""
        model = fields.get("model")
        guest = self._door.enter(headers, Right.WRITE_CALLS, model if isinstance(model, str) else "")
        if guest.key is not None and guest.key.models:
            # the upstream reads the body itself, and servers differ in which of two values they take
            check_named_once(body, "model")
        return guest

    def _context(self, headers: Mapping[str, str], guest: Caller, now: float, started: float) -> Context:
        return read_context(
            headers,
            pseudonym=self._pseudonym,
            now=now,
            started=started,
            call_id=self._call_id(),
            tenant=guest.tenant,
        )

    # --- the rest ------------------------------------------------------------------------------------------------

    async def _take_feedback(self, headers: Mapping[str, str], body: bytes) -> HttpReply:
        guest = self._door.enter(headers, Right.WRITE_FEEDBACK)
        everybody = guest.key is not None and guest.key.tenant == EVERY_TENANT
        fields = decode_object(body)
        episode, call_id = str(fields.get("episode") or ""), str(fields.get("call_id") or "")
        metric, value = fields.get("metric"), fields.get("value")
        if bool(episode) == bool(call_id):
            raise BadInput("Feedback names either an 'episode' or a 'call_id'.")
        if not isinstance(metric, str) or not metric:
            raise BadInput("Feedback needs a 'metric': a name such as success or reward.")
        if not isinstance(value, int | float):
            raise BadInput("Feedback needs a 'value': a number, true or false.")
        await self._recorder.add_feedback(
            episode=episode,
            call_id=call_id,
            metric=metric,
            value=float(value),
            tenant="" if everybody else guest.tenant,
        )
        return HttpReply(200, list(JSON_HEADERS), b'{"recorded":true}')

    def refresh_metrics(self) -> None:
        """Brings the counters that others keep up to date."""
        self.metrics.set("deputize_in_flight", self._n_in_flight)
        for name, value in self._recorder.counts().items():
            kept = "gauges" if name in ("pending", "under_way") else "counters"
            suffix = "" if kept == "gauges" else "_total"
            getattr(self.metrics, kept)[(f"deputize_recorder_{name}{suffix}", ())] = value
        self.metrics.set("deputize_recorder_failing", 1.0 if self._recorder.stats().failing else 0.0)

    def _metrics_text(self) -> bytes:
        self.refresh_metrics()
        return self._gather_metrics(self.metrics)

    def too_large(self) -> HttpReply:
        """What a body beyond the limit is answered with."""
        error = RequestTooLarge(f"The request body is larger than {self.settings.max_body_mb:g} MB.")
        reply = self._refuse(CHAT, error)
        self._count("too_large", reply.status)
        return reply

    def refusal(self, status: int, sentence: str) -> HttpReply:
        """What bytes that make no request are answered with."""
        if status == 413:
            return self.too_large()
        self.metrics.add("deputize_refused_total", (("reason", f"http_{status}"),))
        self._count("malformed", status)
        return HttpReply(
            status,
            list(JSON_HEADERS),
            error_body(status, sentence, "invalid_request_error", f"http_{status}"),
        )

    def _refuse(self, dialect: Dialect, error: DeputizeError) -> HttpReply:
        self.metrics.add("deputize_refused_total", (("reason", error.code),))
        kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
            error.http_status, "invalid_request_error" if error.http_status < 500 else error.code
        )
        headers = list(JSON_HEADERS)
        if isinstance(error, OverLimit):
            headers.append(("retry-after", str(max(1, round(error.retry_after_s)))))
        if isinstance(error, NotAuthenticated):
            headers.append(("www-authenticate", "Bearer"))
        return HttpReply(
            error.http_status, headers, dialect.error_body(error.http_status, str(error), kind, error.code)
        )

    def _count(self, path: str, status: int) -> None:
        known = path if path in PATHS else "other"
        self.metrics.add("deputize_requests_total", (("path", known), ("status", str(status))))


COUNT_TOKENS = MESSAGES.path + "/count_tokens"

PATHS: dict[str, Right | None] = {
    **{dialect.path: Right.WRITE_CALLS for dialect in DIALECTS},
    COUNT_TOKENS: Right.WRITE_CALLS,
    "/v1/embeddings": Right.WRITE_CALLS,
    "/v1/models": Right.WRITE_CALLS,
    "/v1/deputize/feedback": Right.WRITE_FEEDBACK,
    "/metrics": Right.SEE_STATUS,
    "/healthz": None,
}
"""Path -> the right it needs; None for everybody. There is nothing at a path without a line here."""


def _wrong_method(dialect: Dialect, method: str, allowed: str) -> HttpReply:
    body = dialect.error_body(
        405, f"{method[:16]} is not possible here; use {allowed}.", "invalid_request_error", None
    )
    return HttpReply(405, [*JSON_HEADERS, ("allow", allowed)], body)
