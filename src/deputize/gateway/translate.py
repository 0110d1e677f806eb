"""Between protocols: what to send to an upstream, and how its answer goes back to a client of another protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from deputize.engines import anthropic
from deputize.engines.upstream import Headers, Upstream
from deputize.gateway.wire import chat as chat_wire
from deputize.gateway.wire.dialect import Dialect
from deputize.gateway.wire.events import Answered

if TYPE_CHECKING:
    from deputize.gateway.live import Exchange

CHAT: Dialect = chat_wire.ChatDialect()
_NATIVE: dict[str, Dialect] = {"openai": CHAT}
_encode = msgspec.json.Encoder().encode

_PREFIX = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}


def answer_id(dialect: Dialect, call_id: str) -> str:
    """The id of an answer we write ourselves, in the form the protocol's clients know."""
    return _PREFIX[dialect.name] + call_id


def upstream_dialect(upstream: Upstream) -> Dialect:
    """The protocol an upstream is asked in when the client speaks another one."""
    return _NATIVE[upstream.protocol]


def same_protocol(upstream: Upstream, dialect: Dialect) -> bool:
    """Whether an upstream speaks the client's protocol, so that bytes pass as they are."""
    return dialect.upstream_protocol == upstream.protocol


def pinned(fields: dict[str, Any]) -> str:
    """Why a request has to go where an earlier one went, "" where it need not."""
    return "pinned" if fields.get("previous_response_id") or fields.get("conversation") else ""


def prepare(
    upstream: Upstream, dialect: Dialect, fields: dict[str, Any], chat: dict[str, Any], body: bytes, headers: Headers,
    *, ask_for_usage: bool,
) -> tuple[str, Headers, bytes]:  # fmt: skip
    """Path, headers and body for one upstream. Same protocol, same model name: the client's bytes."""
    model = str(fields.get("model") or "")
    target = upstream.config.model_for(model) or model
    native = dialect if same_protocol(upstream, dialect) else upstream_dialect(upstream)
    if native is not dialect:
        request = native.from_chat({**chat, "model": target})
        body = _encode(request)
        if upstream.protocol == "anthropic":
            headers = anthropic.with_version(headers)
        headers = [(k, v) for k, v in headers if k != "content-type"]
        headers.append(("content-type", "application/json"))
        fields = request
    elif target != model:
        fields = {**fields, "model": target}
        body = _encode(fields)
    if (
        native.name == "chat"
        and ask_for_usage
        and fields.get("stream") is True
        and not chat_wire.wants_usage(fields)
    ):
        body = chat_wire.ask_for_usage(body, fields)
    return native.path, headers, body


def whole(dialect: Dialect, exchange: Exchange, status: int, body: bytes, answer: Answered | None) -> bytes:
    """A whole answer of another protocol in the client's own."""
    if status >= 400 or answer is None:
        return dialect.error_body(status, upstream_message(body), "upstream_error", None)
    return dialect.encode_answer(
        answer, id_=answer_id(dialect, exchange.context.id), model=exchange.model,
        created=int(exchange.context.arrived_at), fields=exchange.fields,
    )  # fmt: skip


def upstream_message(body: bytes) -> str:
    """The sentence in an upstream's error body, whichever protocol it is in."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "The upstream sent an answer that cannot be read."
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    return error if isinstance(error, str) else "The upstream refused the request."
