"""Requests that are passed through and are no model calls: embeddings, the list of models, token counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import msgspec

from deputize.core.errors import BadInput, DeputizeError, UpstreamError
from deputize.core.recording_policy import recorded_part
from deputize.core.records import Call, Decision, Usage
from deputize.gateway.auth import Authenticator, Caller
from deputize.gateway.call_telemetry import CallTelemetry
from deputize.gateway.context import Context, without_end_user
from deputize.gateway.forwarding import forward_answer_headers, forward_request_headers
from deputize.gateway.live_masking import LiveMasker
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.upstream_errors import lacks_endpoint
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.http.headers import Headers, header_safe
from deputize.http.transport import UpstreamResponse
from deputize.upstreams import upstream_auth
from deputize.upstreams.failover import UpstreamPool
from deputize.upstreams.upstream import Upstream, read_bounded
from deputize.wire.json_fields import decode_answer, token_count
from deputize.wire.messages_request import estimate_tokens
from deputize.wire.registry import CHAT, MESSAGES

_encode = msgspec.json.Encoder().encode
_LIST_S = 10.0
"""How long a list of models waits for one of several upstreams."""


class Passthrough:
    """Answers embeddings, model lists and token counts, unchanged wherever one upstream can answer alone."""

    def __init__(
        self,
        *,
        upstreams: UpstreamPool,
        recorder: CallRecorder,
        authenticator: Authenticator,
        telemetry: CallTelemetry,
        max_answer_bytes: int,
        masker: LiveMasker | None = None,
        clock_s: Callable[[], float] = perf_counter,
    ) -> None:
        """
        Args:
            masker: masks personal data in what is sent; None: requests are sent as they are.
        """
        self._masker = masker
        self._max_answer_bytes = max_answer_bytes
        self._upstreams, self._recorder = upstreams, recorder
        self._authenticator, self._telemetry, self._clock_s = authenticator, telemetry, clock_s

    async def _pass(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        eligible: Sequence[Upstream],
        body: bytes = b"",
        fields: Mapping[str, Any] | None = None,
    ) -> tuple[UpstreamResponse, bytes, str]:
        """Sends a request on, with the upstream's own name of the model; the response, its body, the upstream's
        name."""
        model = str(fields.get("model") or "") if fields is not None else ""

        def prepare(upstream: Upstream) -> tuple[str, Headers, bytes]:
            target = upstream.config.model_for(model) or model
            sent = body if fields is None or target == model else _encode({**fields, "model": target})
            return path, forward_request_headers(headers, keep_authorization=not upstream.has_key), sent

        answer = await self._upstreams.send(method, eligible, prepare)
        try:
            whole = await read_bounded(answer.incoming, self._max_answer_bytes)
        finally:
            answer.incoming.close()
        return answer.incoming, whole, answer.upstream.name

    async def _masked(
        self, fields: dict[str, Any], body: bytes, end_user: str = ""
    ) -> tuple[dict[str, Any], bytes]:
        """A request as an LLM may see it. Raises as `LiveMasker.mask` does."""
        if self._masker is None:
            return fields, body
        masked = await self._masker.mask(fields, body, end_user=end_user)
        return masked.outgoing, masked.body

    # --- token counts ---------------------------------------------------------------------------------------------

    async def count_tokens(
        self, path: str, headers: Mapping[str, str], fields: dict[str, Any], body: bytes
    ) -> HttpReply:
        """The upstream's count where it can count; else an estimate, marked by a header."""
        able = [u for u in self._upstreams.taking(str(fields.get("model") or "")) if u.speaks("messages")]
        if able:
            sent, sent_body = await self._masked(fields, body)
            incoming, whole, _ = await self._pass("POST", path, headers, able, sent_body, sent)
            if not lacks_endpoint(incoming.status, whole):
                return HttpReply(incoming.status, forward_answer_headers(incoming.headers), whole)
        count = _encode({"input_tokens": estimate_tokens(fields)})
        return HttpReply(200, [*JSON_HEADERS, ("x-deputize-estimated", "true")], count)

    # --- embeddings -----------------------------------------------------------------------------------------------

    async def embeddings(
        self,
        path: str,
        headers: Mapping[str, str],
        fields: dict[str, Any],
        body: bytes,
        context: Context,
        caller: Caller,
    ) -> HttpReply:
        """Embeddings pass as they are; the record holds the input and the usage, not the vectors.

        Raises:
            BadInput: no upstream has embeddings of this model.
            UpstreamError: none answered; this is recorded.
            MaskingFailed: its personal data could not be masked, so it was not sent.
            StoreError: the call could not be kept.
        """
        if context.record != "off":
            self._recorder.admit()
        model = str(fields.get("model") or "")
        able = [u for u in self._upstreams.taking(model) if u.speaks("chat") or u.speaks("responses")]
        if not able:
            raise BadInput(f"No configured upstream that takes the model {model!r} has embeddings.")

        call = partial(self._embedding_call, fields, context, caller)
        sent, sent_body = await self._masked(fields, body, context.origin)
        try:
            incoming, whole, name = await self._pass("POST", path, headers, able, sent_body, sent)
        except asyncio.CancelledError:
            aborted = call(499, aborted=True)
            if aborted is not None:
                self._recorder.record_now(aborted)
            raise
        except UpstreamError as error:
            await self._keep(call(error.http_status))
            raise
        usage = None
        if incoming.status < 400:
            usage = _embedding_usage(whole) or Usage(prompt_tokens=max(1, len(body) // 4), estimated=True)
            self._authenticator.charge(caller, model, usage)
        await self._keep(call(incoming.status, upstream=name, usage=usage))
        ours = [("x-deputize-request-id", context.id), ("x-deputize-served-by", "llm")]
        return HttpReply(incoming.status, [*forward_answer_headers(incoming.headers), *ours], whole)

    def _embedding_call(
        self,
        fields: dict[str, Any],
        context: Context,
        caller: Caller,
        status: int,
        *,
        upstream: str = "",
        usage: Usage | None = None,
        aborted: bool = False,
    ) -> Call | None:
        """The record of a request for embeddings, which is counted here: its input, not the vectors. None where nothing
        is kept of it."""
        text = fields.get("input")
        content = text if isinstance(text, str) else _encode(text).decode()
        call = Call(
            id=context.id,
            messages=[{"role": "user", "content": content}],
            response={},
            agent=context.agent,
            site=context.site,
            episode=context.episode,
            group=context.episode,
            model=str(fields.get("model") or ""),
            params=without_end_user({k: v for k, v in fields.items() if k not in ("input", "model")}),
            audience="code",
            origin=context.origin,
            tenant=context.tenant,
            usage=usage,
            aborted=aborted,
            latency_ms=(self._clock_s() - context.started) * 1e3,
            timestamp=context.arrived_at,
            status=status,
            upstream=upstream,
            protocol="embeddings",
            masked=self._masker is not None,
            decision=Decision(reason="no_route"),
            source="gateway",
        )
        key = caller.key.id if caller.key is not None else ""
        self._telemetry.ended(call, kept=context.record, trace=context.trace, key=key, charged=usage)
        return recorded_part(call, context.record)

    async def _keep(self, call: Call | None) -> None:
        if call is not None:
            await self._recorder.record(call)

    # --- models ---------------------------------------------------------------------------------------------------

    async def models(self, path: str, wanted: str, headers: Mapping[str, str], caller: Caller) -> HttpReply:
        """The models a client may ask for: one upstream's own list, or what several (or mappings) come to.

        Raises:
            UpstreamError: no upstream listed its models.
        """
        dialect = MESSAGES if "anthropic-version" in headers else CHAT
        members = self._upstreams.members
        limited = caller.key is not None and bool(caller.key.models)
        if (
            len(members) == 1
            and not members[0].config.models
            and members[0].speaks(dialect.name)
            and not limited
        ):
            incoming, whole, _ = await self._pass("GET", path, headers, members)
            return HttpReply(incoming.status, forward_answer_headers(incoming.headers), whole)
        if wanted and len(members) == 1 and not members[0].config.models and not limited:
            found_model = await self._retrieved(members[0], path, wanted, headers)
            if found_model is not None:
                return HttpReply(200, list(JSON_HEADERS), _encode(_model(wanted, found_model, dialect.name)))
        found: dict[str, str] = {}
        for upstream, names in zip(members, await self._listed(headers), strict=True):
            for name in names:
                if caller.key is None or caller.key.may_ask(name):
                    found.setdefault(name, upstream.name)
        if wanted and wanted not in found:
            sentence = f"The model {header_safe(wanted, 200)!r} is not one of the gateway's."
            return HttpReply(
                404,
                list(JSON_HEADERS),
                dialect.error_body(404, sentence, "invalid_request_error", "model_not_found"),
            )
        rows = [_model(name, owner, dialect.name) for name, owner in found.items()]
        if wanted:
            return HttpReply(200, list(JSON_HEADERS), _encode(_model(wanted, found[wanted], dialect.name)))
        listing: dict[str, Any] = {"object": "list", "data": rows}
        if dialect is MESSAGES:
            ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {}
            listing = {"data": rows, "has_more": False, "first_id": None, "last_id": None, **ends}
        return HttpReply(200, list(JSON_HEADERS), _encode(listing))

    async def _retrieved(
        self, upstream: Upstream, path: str, wanted: str, headers: Mapping[str, str]
    ) -> str | None:
        """The owner of a model that an upstream of another protocol knows; None where it knows none of this name."""
        incoming, whole, _ = await self._pass(
            "GET", path, self._listing_headers(upstream, headers), [upstream]
        )
        value = decode_answer(whole) if incoming.status == 200 else None
        if not isinstance(value, dict) or value.get("id") != wanted:
            return None
        return str(value.get("owned_by") or upstream.name)

    async def _listed(self, headers: Mapping[str, str]) -> list[list[str]]:
        """The models of each upstream, by the names clients use; [] for one that does not list them."""
        asked = await asyncio.gather(
            *(self._names(u, headers) for u in self._upstreams.members), return_exceptions=True
        )
        failures = [a for a in asked if isinstance(a, BaseException)]
        for failure in failures:
            if not isinstance(failure, DeputizeError | TimeoutError):
                raise failure
        if failures and len(failures) == len(asked):
            raise (
                failures[0]
                if isinstance(failures[0], DeputizeError)
                else UpstreamError("No upstream listed its models.")
            )
        return [[] if isinstance(a, BaseException) else a for a in asked]

    @staticmethod
    def _listing_headers(upstream: Upstream, headers: Mapping[str, str]) -> dict[str, str]:
        """A client's headers for an upstream that may be of another protocol."""
        sent = forward_request_headers(headers, keep_authorization=not upstream.has_key)
        native = MESSAGES if upstream.protocol == "anthropic" else CHAT
        return dict(upstream_auth.for_dialect(sent, native.name))

    async def _names(self, upstream: Upstream, headers: Mapping[str, str]) -> list[str]:
        config = upstream.config
        named = [name for name in config.models if not name.endswith("*")]
        patterns = [name for name, target in config.models.items() if name.endswith("*") and target == "*"]
        if config.models and not patterns:
            return named
        sent = list(self._listing_headers(upstream, headers).items())
        async with asyncio.timeout(_LIST_S):
            incoming = await upstream.send("GET", "/v1/models", sent, b"")
            try:
                whole = await read_bounded(incoming, self._max_answer_bytes)
            finally:
                incoming.close()
        if incoming.status != 200:
            raise UpstreamError(
                f"Upstream {upstream.name!r} answered {incoming.status} when asked for its models."
            )
        return [*named, *(name for name in _ids(whole) if config.model_for(name) is not None)]


def _ids(body: bytes) -> list[str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return []
    rows = value.get("data") if isinstance(value, dict) else None
    return [
        row["id"]
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and isinstance(row.get("id"), str)
    ]


def _model(name: str, owner: str, protocol: str) -> dict[str, Any]:
    if protocol == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _embedding_usage(body: bytes) -> Usage | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    usage = value.get("usage") if isinstance(value, dict) else None
    tokens = token_count(usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    return None if tokens is None else Usage(prompt_tokens=tokens)
