"""The handler of a host's requests: sealed questions of gateways, health, and metrics. Nothing that is asked is kept."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from deputize.core.errors import DeputizeError, NotAuthenticated, UpstreamError, UpstreamTimeout
from deputize.gateway.auth import KEY_HEADER, key_id, key_text
from deputize.gateway.denials import NoteDenial
from deputize.gateway.metrics import Metrics
from deputize.gateway.worker_metrics import note_engine
from deputize.hosting.answered_once import AnsweredOnce
from deputize.http.admission import Admitted
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.specialists.serving.base import ServedVersion, StillLoading
from deputize.specialists.serving.host_messages import (
    HEAD,
    PATH,
    HostAnswer,
    HostQuestion,
    HostState,
    ProvenHead,
    Trouble,
    open_question,
    prove_head,
    seal_answer,
)
from deputize.specialists.serving.pool import WorkerEngine
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.roles import Right, require

log = logging.getLogger("deputize.engine")

HEALTH, READY, METRICS = "/healthz", "/readyz", "/metrics"
_SEALED = [("content-type", "application/octet-stream")]
_PAUSE_S = 0.02
"""Between two requests of a connection that anybody may make."""


class SpecialistHost:
    """One process that answers for the specialists of a home's routes."""

    def __init__(
        self,
        *,
        engine: WorkerEngine,
        versions: Callable[[], Mapping[str, ServedVersion]],
        secret: bytes,
        api_keys: ApiKeys,
        keys_required: Callable[[], bool],
        metrics: Metrics,
        note_denial: NoteDenial,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            engine: the worker beneath it.
            versions: of the specialists of the routes in force, by folder; no other is answered for.
            secret: derived from the keys of the home for `host_messages.PURPOSE`.
            api_keys: of people and programs that read /metrics.
            keys_required: True where /metrics takes an API key.
            metrics: counts what is asked.
            note_denial: is told of every refusal.
            clock: Unix seconds.
        """
        self._engine, self._versions, self._secret = engine, versions, secret
        self._api_keys, self._keys_required = api_keys, keys_required
        self.metrics, self._note_denial, self._clock = metrics, note_denial, clock
        self._process = os.urandom(8).hex()
        self._answered = AnsweredOnce()
        self.ready = True

    def admit(self, method: str, path: str, headers: Mapping[str, str]) -> Admitted | HttpReply:
        """Decides on a request by its head."""
        bare = path.partition("?")[0]
        if bare == PATH and method == "POST":
            return self._admit_question(headers)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            # a body that anybody may send would take its part of what there is for questions
            return self._counted("other", self.refusal(413, "This path of a host takes no body."))
        if bare in (HEALTH, READY):
            return Admitted(partial(self._health, bare), pause_s=_PAUSE_S)
        if bare == METRICS:
            return Admitted(partial(self._text_of_metrics, headers))
        return self._counted(
            "other", self.refusal(404, f"There is nothing at {method} {bare[:100]} of a host.")
        )

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Answers one request; every error becomes a reply."""
        admitted = self.admit(method, path, headers)
        return admitted if isinstance(admitted, HttpReply) else await admitted.answer(body)

    def _admit_question(self, headers: Mapping[str, str]) -> Admitted | HttpReply:
        """Reads the body of a question only where its head was made with the keys of this home."""
        try:
            length = headers.get("content-length", "")
            head = prove_head(self._secret, headers.get(HEAD, ""), length, now_s=self._clock())
            if head.id_ in self._answered:
                raise NotAuthenticated("This question was asked before; each is answered once.")
        except NotAuthenticated as error:
            return self._denied(error, PATH)
        return Admitted(partial(self._answer, head))

    async def _answer(self, head: ProvenHead, body: bytes) -> HttpReply:
        try:
            question = open_question(head.sealer, body)
            if not self._answered.add(head.id_):
                raise NotAuthenticated("This question was asked before; each is answered once.")
        except NotAuthenticated as error:
            return self._denied(error, PATH)
        answer = await self._answer_to(question)
        return self._counted(PATH, HttpReply(200, list(_SEALED), seal_answer(head.sealer, answer)))

    async def _answer_to(self, question: HostQuestion) -> HostAnswer:
        versions = self._versions()
        if not question.specialist:
            served = {name: version.card_sha256 for name, version in versions.items()}
            return HostAnswer(
                state=HostState(
                    process=self._process,
                    specialists=served,
                    is_ready=self.ready and (self._engine.is_loaded or not served),
                    is_loading=self.ready and bool(served) and self._engine.is_loading,
                )
            )
        version = versions.get(question.specialist)
        if version is None or version.card_sha256 != question.card_sha256 or question.request is None:
            return _none("version", f"{question.specialist} is not served in the version that was asked for")
        try:
            reply = await self._engine.ask(question.specialist, question.request, question.within_s)
        except UpstreamTimeout as error:
            return _none("timeout", str(error))
        except UpstreamError as error:
            return _none("away" if self.ready else "draining", str(error))
        except StillLoading as error:
            return _none("loading", str(error))
        except DeputizeError as error:
            self.metrics.add("deputize_specialist_host_failures_total")
            return _none("failed", str(error))
        return HostAnswer(prediction=reply.prediction, card_sha256=reply.card_sha256)

    async def _health(self, path: str, body: bytes) -> HttpReply:
        is_up = self.ready and (path == HEALTH or self._engine.is_loaded or not self._versions())
        value = {"status": "ok" if is_up else "not ready" if self.ready else "draining"}
        reply = HttpReply(200 if is_up else 503, list(JSON_HEADERS), msgspec.json.encode(value))
        return self._counted(path, reply)

    async def _text_of_metrics(self, headers: Mapping[str, str], body: bytes) -> HttpReply:
        text = key_text(headers)
        try:
            if text:
                require(self._api_keys.verify(text).actor, Right.SEE_STATUS)
            elif self._keys_required():
                raise NotAuthenticated(f"Metrics take an API key: as a bearer token, or in {KEY_HEADER}.")
        except DeputizeError as error:
            return self._denied(error, METRICS, key_id(text))
        note_engine(self.metrics, self._engine)
        headers_out = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]
        return self._counted(METRICS, HttpReply(200, headers_out, self.metrics.text()))

    def _denied(self, error: DeputizeError, path: str, id_: str = "") -> HttpReply:
        self._note_denial(error, path, id_)
        self.metrics.add("deputize_refused_total", (("reason", error.code), ("tenant", "")))
        return self._counted(path, self.refusal(error.http_status, str(error)))

    def refusal(self, status: int, sentence: str) -> HttpReply:
        """The reply to what is refused."""
        return HttpReply(status, list(JSON_HEADERS), msgspec.json.encode({"error": {"message": sentence}}))

    def _counted(self, path: str, reply: HttpReply) -> HttpReply:
        self.metrics.add("deputize_requests_total", (("path", path), ("status", str(reply.status))))
        return reply


def _none(trouble: Trouble, error: str) -> HostAnswer:
    return HostAnswer(trouble=trouble, error=error)
