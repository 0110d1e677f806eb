"""Requests on their way to an upstream: unchanged where it speaks the client's protocol, translated where it does
not."""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.gateway.exchange import Exchange, UpstreamExchange
from deputize.gateway.forwarding import forward_request_headers
from deputize.gateway.refused_fields import adapted
from deputize.http.headers import Headers, header_safe
from deputize.upstreams import upstream_auth
from deputize.wire import chat_request
from deputize.wire.dialect import Dialect
from deputize.wire.documents import is_whole_file
from deputize.wire.freeform_tools import as_functions, freeform_names

_encode = msgspec.json.Encoder().encode


def request_for(
    upstream_exchange: UpstreamExchange, exchange: Exchange, *, ask_for_usage: bool
) -> tuple[str, Headers, bytes]:
    """Path, headers and body for one upstream. Same protocol, same model name: the client's bytes.

    Args:
        upstream_exchange: the way to it.
        exchange: the request.
        ask_for_usage: ask for token counts in chat streams, whether or not the client does.

    Raises:
        BadInput: the request cannot be translated.
    """
    upstream, native = upstream_exchange.upstream, upstream_exchange.dialect
    masked = exchange.masked
    fields, body = (exchange.outgoing, exchange.body) if masked is None else (masked.outgoing, masked.body)
    headers = forward_request_headers(exchange.headers, keep_authorization=not upstream.has_key)
    if "x-request-id" not in exchange.headers:
        headers.append(("x-request-id", exchange.context.id))
    model = str(fields.get("model") or "")
    target = upstream_exchange.model = upstream.config.model_for(model) or model
    refused = upstream.refused.get(target, ())
    if not upstream_exchange.same_protocol:
        check_translatable(exchange.dialect, native, fields, exchange.chat)
        upstream_exchange.freeform = freeform_names(exchange.chat)
        chat = exchange.chat if masked is None else exchange.dialect.to_chat(fields)
        fields = native.from_chat({**as_functions(chat), "model": target})
        if native.name == "chat":
            fields = adapted(fields, target, refused)
        body = _encode(fields)
        headers = [(k, v) for k, v in headers if k != "content-type"]
        headers = upstream_auth.for_dialect([*headers, ("content-type", "application/json")], native.name)
    elif target != model:
        fields = {**fields, "model": target}
        body = _encode(fields)
    streams = fields.get("stream") is True
    if native.name == "chat" and ask_for_usage and streams and not chat_request.wants_usage(fields):
        upstream_exchange.adds_usage = "stream_options" not in refused
        if upstream_exchange.adds_usage:
            body = chat_request.ask_for_usage(body, fields)
    upstream_exchange.sent = body
    # a query means what it means in its own protocol only
    return native.path + (exchange.query if upstream_exchange.same_protocol else ""), headers, body


def check_translatable(
    dialect: Dialect, native: Dialect, fields: dict[str, Any], chat: dict[str, Any]
) -> None:
    """Refuses a request that would lose something between two protocols.

    Raises:
        BadInput: a tool that runs at the provider, state that only the other protocol's servers keep, several answers
            or token probabilities, a message part that the other protocol cannot hold, or no message at all.
    """
    between = f"from {dialect.name} to {native.name}"
    for tool in chat.get("tools") or ():
        if not isinstance(tool, dict) or not isinstance(tool.get("function") or tool.get("custom"), dict):
            kind = tool.get("type") if isinstance(tool, dict) else tool
            raise BadInput(f"The tool {kind!r} runs at the provider and cannot be translated {between}.")
    why = chat_request.pinned_reason(fields)
    if why is not None:
        raise BadInput(
            f"This request needs state or a mode that only a server of the {dialect.name} protocol has ({why}),"
            " and no such server answers for its model."
        )
    for name in _ONLY_NATIVE[dialect.name]:
        if fields.get(name):
            raise BadInput(f"{name!r} cannot be translated {between}.")
    only_llm = chat_request.model_only_reason(chat)
    if only_llm is not None:
        raise BadInput(f"{only_llm.removeprefix('params:')!r} cannot be translated {between}.")
    if not chat["messages"]:
        raise BadInput("The request needs 'input': a text, or a list of items.")
    for message in chat["messages"]:
        content, role = message.get("content"), message.get("role")
        for part in content if isinstance(content, list) else ():
            kind = _untranslatable_kind(part, str(role))
            if kind:
                raise BadInput(
                    f"A part of type {header_safe(kind, 60)!r} in a {role} message cannot be translated {between}."
                )


_ONLY_NATIVE = {
    "chat": ("functions", "function_call", "prediction", "web_search_options"),
    "responses": ("prompt",),
    "messages": ("mcp_servers", "container"),
}
"""Request fields that change what an answer is and that the other protocols do not know."""


def _untranslatable_kind(part: Any, role: str) -> str:
    """The kind of a message part that another protocol cannot hold; "" where it can."""
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    if kind in ("text", "refusal"):
        return ""
    if kind == "image_url" and role in ("user", "tool"):
        return "" if _has_public_url(part) else "image_url of a file at the provider"
    if kind == "file" and role in ("user", "tool"):
        return "" if is_whole_file(part) else "file at the provider"
    return str(kind)


def _has_public_url(part: dict[str, Any]) -> bool:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url.startswith(("data:", "http://", "https://"))
