"""Between protocols: what to send to an upstream, and how its answer goes back to a client of another protocol."""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.engines import anthropic
from deputize.engines.upstream import Headers, Upstream
from deputize.gateway.wire import chat as chat_wire
from deputize.gateway.wire.chat import ChatDialect
from deputize.gateway.wire.dialect import Dialect
from deputize.gateway.wire.messages import MessagesDialect
from deputize.gateway.wire.responses import ResponsesDialect

CHAT: Dialect = ChatDialect()
RESPONSES: Dialect = ResponsesDialect()
MESSAGES: Dialect = MessagesDialect()
DIALECTS: tuple[Dialect, ...] = (CHAT, MESSAGES, RESPONSES)

_encode = msgspec.json.Encoder().encode
_PREFIX = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}


def answer_id(dialect: Dialect, call_id: str) -> str:
    """The id of an answer we write ourselves, in the form the protocol's clients know."""
    return _PREFIX[dialect.name] + call_id


def spoken(upstream: Upstream, dialect: Dialect) -> Dialect:
    """The protocol to ask an upstream in: the client's where it speaks it, so that bytes pass as they are.

    Raises:
        BadInput: it speaks none that we know.
    """
    if upstream.speaks(dialect.name):
        return dialect
    for other in DIALECTS:
        if upstream.speaks(other.name):
            return other
    raise BadInput(f"Upstream {upstream.name!r} speaks no protocol that {dialect.path} can be translated to.")


def pinned(fields: dict[str, Any]) -> str:
    """Why a request has to go where an earlier one went, "" where it need not."""
    if fields.get("previous_response_id") or fields.get("conversation"):
        return "pinned"
    return "params:background" if fields.get("background") else ""


def check_translatable(
    dialect: Dialect, native: Dialect, fields: dict[str, Any], chat: dict[str, Any]
) -> None:
    """Refuses what would be lost between two protocols.

    Raises:
        BadInput: a tool that runs at the provider, or state that only the other protocol's servers keep.
    """
    for tool in chat.get("tools") or ():
        if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
            kind = tool.get("type") if isinstance(tool, dict) else tool
            raise BadInput(
                f"The tool {kind!r} runs at the provider and cannot be translated from {dialect.name} to {native.name}."
            )
    why = pinned(fields)
    if why:
        raise BadInput(
            f"This request needs state or a mode that only a server of the {dialect.name} protocol has ({why}),"
            " and no such server answers for its model."
        )


def prepare(
    upstream: Upstream, dialect: Dialect, native: Dialect, fields: dict[str, Any], chat: dict[str, Any], body: bytes,
    headers: Headers, *, ask_for_usage: bool,
) -> tuple[str, Headers, bytes]:  # fmt: skip
    """Path, headers and body for one upstream. Same protocol, same model name: the client's bytes.

    Raises:
        BadInput: the request cannot be translated.
    """
    model = str(fields.get("model") or "")
    target = upstream.config.model_for(model) or model
    if native is not dialect:
        check_translatable(dialect, native, fields, chat)
        fields = native.from_chat({**chat, "model": target})
        body = _encode(fields)
        headers = [(k, v) for k, v in headers if k != "content-type" and not k.startswith("anthropic-")]
        headers.append(("content-type", "application/json"))
        headers = swap_credentials(headers, native)
        if native.name == "messages":
            headers = anthropic.with_version(headers)
    elif target != model:
        fields = {**fields, "model": target}
        body = _encode(fields)
    streams = fields.get("stream") is True
    if native.name == "chat" and ask_for_usage and streams and not chat_wire.wants_usage(fields):
        body = chat_wire.ask_for_usage(body, fields)
    return native.path, headers, body


def swap_credentials(headers: Headers, native: Dialect) -> Headers:
    """The client's own key in the place where the upstream's protocol looks for it."""
    given = dict(headers)
    if native.name == "messages" and "x-api-key" not in given:
        key = given.get("authorization", "").removeprefix("Bearer ").strip()
        return [*((k, v) for k, v in headers if k != "authorization"), *([("x-api-key", key)] if key else [])]
    if native.name != "messages" and "authorization" not in given and "x-api-key" in given:
        kept = [(k, v) for k, v in headers if k != "x-api-key"]
        return [*kept, ("authorization", f"Bearer {given['x-api-key']}")]
    return headers


def has_no_endpoint(status: int, body: bytes) -> bool:
    """Whether an answer says that the server does not know the path (rather than the model or an id in the request)."""
    if status not in (404, 405, 501):
        return False
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    error = value.get("error") if isinstance(value, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return not (isinstance(code, str) and code.endswith("_not_found")) and param is None


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
