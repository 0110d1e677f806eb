"""Every other path under /v1: completions, audio, images, moderations, rerank, files, batches, what a server keeps.

Bytes pass as they are, both ways. A request that asks a model something is recorded as far as a call can hold it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import msgspec
from msgspec import structs

from deputize.core.errors import AccessDenied, BadInput, DeputizeError, UpstreamError
from deputize.core.recording_policy import recorded_part
from deputize.core.records import Call, Decision, Usage
from deputize.gateway.auth import Authenticator, Caller
from deputize.gateway.call_telemetry import CallTelemetry
from deputize.gateway.context import Context, without_end_user
from deputize.gateway.conversations import OWN_PREFIX, Conversations
from deputize.gateway.form_model import form_model
from deputize.gateway.forwarding import forward_answer_headers, forward_request_headers
from deputize.gateway.live_masking import LiveMasker, MaskedRequest
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.watched_stream import WatchedStream
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.http.headers import Headers, header, header_safe
from deputize.http.transport import UpstreamResponse
from deputize.upstreams.failover import UpstreamPool
from deputize.upstreams.upstream import Upstream, too_large
from deputize.wire import completions_body
from deputize.wire.registry import CHAT, MESSAGES

_encode = msgspec.json.Encoder().encode

_ASKS_A_MODEL = re.compile(
    r"/v1/(?:completions|moderations|rerank|score|classify|pooling|ocr|fim/completions"
    r"|audio/(?:speech|transcriptions|translations)|images/(?:generations|edits|variations))$"
)
"""Paths of requests that leave nothing at the server: what is asked and answered is all there is."""
_RESPONSE = re.compile(r"/v1/responses/([^/]+)")
_COPY_BYTES = 4 * 1024 * 1024
"""Of an answer, kept for its record."""
_PROMPTS = ("prompt", "input", "query", "text", "document")


class OtherRequest(msgspec.Struct):
    """A request to one of these paths."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    body: bytes
    fields: dict[str, Any]
    """The decoded body, where it is JSON."""
    context: Context
    caller: Caller
    model: str = ""
    """The model that it names, in JSON or in a form; "" where it names none."""

    def __post_init__(self) -> None:
        self.model = (
            str(self.fields.get("model") or "") if self.fields else form_model(self.headers, self.body)
        )

    @property
    def bare(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def asks_a_model(self) -> bool:
        """True where it is a call to a model, to be counted and recorded as one."""
        return self.method == "POST" and bool(_ASKS_A_MODEL.fullmatch(self.bare))


class OtherEndpoints:
    """Passes requests on and their answers back."""

    def __init__(
        self,
        *,
        upstreams: UpstreamPool,
        recorder: CallRecorder,
        authenticator: Authenticator,
        conversations: Conversations | None,
        telemetry: CallTelemetry,
        max_answer_bytes: int,
        masker: LiveMasker | None = None,
        clock_s: Callable[[], float] = perf_counter,
    ) -> None:
        """
        Args:
            conversations: know which tenant was given a response that an upstream keeps; None: nobody was.
            masker: masks personal data in what is sent; None: requests are sent as they are.
            clock_s: perf_counter seconds.
        """
        self._upstreams, self._recorder, self._authenticator = upstreams, recorder, authenticator
        self._telemetry, self._masker = telemetry, masker
        self._conversations, self._max_answer_bytes, self._clock_s = conversations, max_answer_bytes, clock_s

    async def answer(self, request: OtherRequest) -> HttpReply:
        """Answers one request.

        Raises:
            AccessDenied: it is about what an upstream keeps for all callers of its key.
            BadInput: no upstream takes its model or speaks its protocol.
            UpstreamError: none answered.
            StoreError: the call could not be kept, or not be masked.
        """
        if request.context.record != "off":
            self._recorder.admit()
        candidates = await self._candidates(request)
        if isinstance(candidates, HttpReply):
            return candidates
        masked = await self._masked(request)
        record = _Record(request, self._recorder, self._authenticator, self._telemetry, self._clock_s)
        record.masked = masked is not None
        try:
            may_repeat = request.method in ("GET", "HEAD") or "idempotency-key" in request.headers
            answer = await self._upstreams.send(
                request.method,
                candidates,
                partial(_prepared, request if masked is None else _with_masked(request, masked)),
                model=request.model,
                may_repeat=may_repeat,
                once=not may_repeat and not request.asks_a_model,
            )
        except (DeputizeError, asyncio.CancelledError) as error:
            record.fail(error)
            raise
        record.upstream = answer.upstream.name
        incoming = answer.incoming
        if masked is not None:
            incoming = masked.restored(incoming, self._max_answer_bytes)
        return await self._reply(incoming, record)

    async def _masked(self, request: OtherRequest) -> MaskedRequest | None:
        """The request as an LLM may see it; None where it passes as it is."""
        if self._masker is None or not request.body:
            return None
        if not (request.asks_a_model and request.fields):
            raise BadInput(
                f"What is sent to {header_safe(request.bare, 80)} cannot be masked, so it is not sent on while personal data"
                " are masked ([privacy] live)."
            )
        return await self._masker.mask(request.fields, request.body, end_user=request.context.origin)

    async def _candidates(self, request: OtherRequest) -> list[Upstream] | HttpReply:
        """The upstreams that may be asked, or why none may."""
        bare, model = request.bare, request.model
        members = self._upstreams.taking(model) if model else list(self._upstreams.members)
        claude = bare.startswith(f"{MESSAGES.path}/")
        able = [u for u in members if (u.protocol == "anthropic") == claude]
        if not able:
            raise BadInput(f"No configured upstream has {header_safe(bare, 80)}.")
        named = _RESPONSE.match(bare)
        if named is not None:
            return await self._keepers(request, named[1], able)
        if request.caller.key is not None and any(u.has_key for u in able) and not request.asks_a_model:
            raise AccessDenied("What an upstream keeps cannot be used with its shared key.")
        return able

    async def _keepers(
        self, request: OtherRequest, response_id: str, able: list[Upstream]
    ) -> list[Upstream] | HttpReply:
        """The upstreams that may keep a response."""
        caller = request.caller
        if response_id.startswith(OWN_PREFIX):
            sentence = (
                "This response was written by the gateway, which keeps its conversation and no copy to fetch."
            )
            return _missing(sentence)
        known = None
        if self._conversations is not None:
            known = await self._conversations.get(caller.tenant, response_id)
        if known is None and caller.key is not None and any(u.has_key for u in able):
            return _missing(f"Response with id {header_safe(response_id, 80)!r} not found.")
        keepers = [u for u in able if known is not None and u.name == known.upstream]
        return keepers or able

    async def _reply(self, incoming: UpstreamResponse, record: _Record) -> HttpReply:
        headers = [
            *forward_answer_headers(incoming.headers),
            ("x-deputize-request-id", record.request.context.id),
            ("x-deputize-served-by", "llm"),
        ]
        n_bytes = header(incoming.headers, "content-length")
        if not n_bytes.isdigit() or int(n_bytes) > _COPY_BYTES:
            pieces = WatchedStream(self._pieces(incoming, record), partial(_closed, incoming, record))
            return HttpReply(incoming.status, headers, pieces)
        try:
            body = await incoming.read()
        except (UpstreamError, asyncio.CancelledError) as error:
            record.fail(error)
            raise
        finally:
            incoming.close()
        await record.keep(incoming, body)
        return HttpReply(incoming.status, headers, body)

    async def _pieces(self, incoming: UpstreamResponse, record: _Record) -> AsyncGenerator[bytes, None]:
        """An answer as it comes; its last piece is held back until the call is recorded."""
        copy: list[bytes] = []
        n_copied, left, held = 0, self._max_answer_bytes, b""
        pieces: AsyncIterator[bytes] = incoming.chunks()
        try:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise too_large(self._max_answer_bytes)
                if n_copied < _COPY_BYTES:
                    copy.append(piece)
                    n_copied += len(piece)
                if held:
                    yield held
                held = piece
        except UpstreamError as error:
            record.fail(error, incoming, b"".join(copy))
            raise
        await record.keep(incoming, b"".join(copy))
        if held:
            yield held


def _with_masked(request: OtherRequest, masked: MaskedRequest) -> OtherRequest:
    return structs.replace(request, fields=masked.outgoing, body=masked.body)


def _prepared(request: OtherRequest, upstream: Upstream) -> tuple[str, Headers, bytes]:
    body, model = request.body, request.model
    target = upstream.config.model_for(model) or model
    if request.fields and target != model:
        body = _encode({**request.fields, "model": target})
    headers = forward_request_headers(request.headers, keep_authorization=not upstream.has_key)
    if "x-request-id" not in request.headers:
        headers.append(("x-request-id", request.context.id))
    return request.path, headers, body


def _missing(sentence: str) -> HttpReply:
    body = CHAT.error_body(404, sentence, "invalid_request_error", "not_found")
    return HttpReply(404, list(JSON_HEADERS), body)


async def _closed(incoming: UpstreamResponse, record: _Record) -> None:
    incoming.close()
    if not record.kept:
        record.fail(asyncio.CancelledError(), incoming)


class _Record:
    """The record of one request, where it asks a model something."""

    def __init__(
        self,
        request: OtherRequest,
        recorder: CallRecorder,
        authenticator: Authenticator,
        telemetry: CallTelemetry,
        clock_s: Callable[[], float],
    ) -> None:
        self.request, self.upstream = request, ""
        self.masked = False
        """Personal data in it were masked."""
        self.kept = not request.asks_a_model
        """It has been recorded, or need not be."""
        self._recorder, self._authenticator, self._clock_s = recorder, authenticator, clock_s
        self._telemetry = telemetry

    async def keep(self, incoming: UpstreamResponse, body: bytes) -> None:
        """Records and charges a call that was answered. Raises StoreError where it cannot be kept."""
        if self.kept:
            return
        self.kept = True
        call = self._call(incoming.status, incoming.headers, body)
        usage: Usage | None = None
        if incoming.status < 400:
            usage = call.usage or Usage(prompt_tokens=max(1, len(self.request.body) // 4), estimated=True)
            self._authenticator.charge(self.request.caller, self.request.model, usage)
        self._ended(call, usage)
        kept = recorded_part(call, self.request.context.record)
        if kept is not None:
            await self._recorder.record(kept)

    def fail(self, error: BaseException, incoming: UpstreamResponse | None = None, body: bytes = b"") -> None:
        """Records a call that was not answered, or not to its end."""
        if self.kept or (isinstance(error, DeputizeError) and not isinstance(error, UpstreamError)):
            return
        self.kept = True
        status = incoming.status if incoming is not None else 499
        if isinstance(error, UpstreamError) and incoming is None:
            status = error.http_status
        headers = incoming.headers if incoming is not None else []
        call = self._call(status, headers, body, aborted=not isinstance(error, UpstreamError) or bool(body))
        self._ended(call, None)
        kept = recorded_part(call, self.request.context.record)
        if kept is not None:
            self._recorder.record_now(kept)

    def _ended(self, call: Call, charged: Usage | None) -> None:
        key = self.request.caller.key
        context, key_id = self.request.context, key.id if key is not None else ""
        self._telemetry.ended(call, kept=context.record, trace=context.trace, key=key_id, charged=charged)

    def _call(self, status: int, headers: Headers, body: bytes, *, aborted: bool = False) -> Call:
        request, context = self.request, self.request.context
        kind = request.bare.removeprefix("/v1/")
        reply = completions_body.CompletionsReply()
        if status < 400 and kind.endswith("completions"):
            reply = completions_body.reply_of(body, header(headers, "content-type"))
        elif status < 400:
            reply = completions_body.CompletionsReply(
                {"role": "assistant", "content": "", "not_recorded": [kind]}
            )
        prompt = next((request.fields[name] for name in _PROMPTS if request.fields.get(name)), "")
        return Call(
            id=context.id,
            messages=[
                {"role": "user", "content": prompt if isinstance(prompt, str) else _encode(prompt).decode()}
            ],
            response=reply.message,
            agent=context.agent,
            site=context.site,
            episode=context.episode,
            group=context.episode,
            model=request.model,
            params=without_end_user(
                {k: v for k, v in request.fields.items() if k not in ("model", *_PROMPTS)}
            ),
            audience=context.audience,
            origin=context.origin,
            tenant=context.tenant,
            usage=reply.usage,
            finish_reason=reply.finish_reason,
            aborted=aborted or (bool(reply.message) and reply.is_cut),
            latency_ms=(self._clock_s() - context.started) * 1e3,
            timestamp=context.arrived_at,
            status=status,
            upstream=self.upstream,
            protocol=kind,
            masked=self.masked,
            decision=Decision(reason="no_route"),
            source="gateway",
        )
