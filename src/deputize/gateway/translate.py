"""Between protocols: what to send to an upstream, and how its answer goes back to a client of another protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.http.content_encoding import decompressor
from deputize.http.headers import Headers, header_safe
from deputize.upstreams import auth
from deputize.upstreams.upstream import Upstream
from deputize.wire import chat_request
from deputize.wire.dialect import Dialect, StreamParser, StreamWriter
from deputize.wire.events import Assembler, Event, Failed
from deputize.wire.registry import DIALECTS
from deputize.wire.sse import PING, SseFrame

_encode = msgspec.json.Encoder().encode


def answer_id(dialect: Dialect, call_id: str) -> str:
    """The id of an answer we write ourselves, in the form the protocol's clients know."""
    return dialect.id_prefix + call_id


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
        BadInput: a tool that runs at the provider, state that only the other protocol's servers keep, several answers
            or token probabilities, or a message part that the other protocol cannot hold.
    """
    between = f"from {dialect.name} to {native.name}"
    for tool in chat.get("tools") or ():
        if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
            kind = tool.get("type") if isinstance(tool, dict) else tool
            raise BadInput(f"The tool {kind!r} runs at the provider and cannot be translated {between}.")
    why = pinned(fields)
    if why:
        raise BadInput(
            f"This request needs state or a mode that only a server of the {dialect.name} protocol has ({why}),"
            " and no such server answers for its model."
        )
    for name in _ONLY_NATIVE[dialect.name]:
        if fields.get(name):
            raise BadInput(f"{name!r} cannot be translated {between}.")
    only_llm = chat_request.only_llm_can(chat).removeprefix("params:")
    if only_llm:
        raise BadInput(f"{only_llm!r} cannot be translated {between}.")
    for message in chat["messages"]:
        content, role = message.get("content"), message.get("role")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            if kind in ("text", "refusal"):
                continue
            # OpenAI's chat protocol takes images from the user only
            if kind == "image_url" and (role == "user" or (role == "tool" and native.name != "chat")):
                if _travels(part):
                    continue
                kind = "image_url of a file at the provider"
            raise BadInput(
                f"A part of type {header_safe(str(kind), 60)!r} in a {role} message cannot be translated {between}."
            )


_ONLY_NATIVE = {
    "chat": ("functions", "function_call", "prediction", "web_search_options"),
    "responses": ("prompt",),
    "messages": ("mcp_servers", "container"),
}
"""Request fields that change what an answer is and that the other protocols do not know."""


def _travels(part: dict[str, Any]) -> bool:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url.startswith(("data:", "http://", "https://"))


def prepare(
    upstream: Upstream,
    dialect: Dialect,
    native: Dialect,
    fields: dict[str, Any],
    chat: dict[str, Any],
    body: bytes,
    headers: Headers,
    *,
    ask_for_usage: bool,
    query: str = "",
) -> tuple[str, Headers, bytes]:
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
        headers = [(k, v) for k, v in headers if k != "content-type"]
        headers = auth.for_dialect([*headers, ("content-type", "application/json")], native.name)
    elif target != model:
        fields = {**fields, "model": target}
        body = _encode(fields)
    streams = fields.get("stream") is True
    if native.name == "chat" and ask_for_usage and streams and not chat_request.wants_usage(fields):
        body = chat_request.ask_for_usage(body, fields)
    # a query means what it means in its own protocol only
    return native.path + (query if native is dialect else ""), headers, body


# --- streams on their way back ---------------------------------------------------------------------------------------


class SameProtocolStream:
    """The stream of an upstream of the client's own protocol: every frame goes on byte for byte."""

    unpack: Callable[[bytes], bytes] | None = None

    def __init__(self, dialect: Dialect, reader: StreamParser, strip_usage: bool) -> None:
        self._dialect, self._reader, self._strip_usage = dialect, reader, strip_usage

    def write(self, frame: SseFrame, events: Sequence[Event]) -> bytes:
        """What a frame becomes; the usage chunk that only we asked for becomes nothing."""
        return b"" if self._strip_usage and self._reader.usage_only else frame.raw

    def whole(self, assembler: Assembler, reader: StreamParser) -> bool:
        """Whether the stream has come to its end."""
        return bool(assembler.finish_reason or reader.ended)

    def end(self) -> bytes:
        """What has to be added to a whole stream."""
        return b""

    def fail(self, message: str) -> bytes:
        """What has to be added to a stream that was cut."""
        return self._dialect.error_frame(502, message, "upstream_error", "stream_cut")


class TranslatedStream:
    """The stream of an upstream of another protocol: read into events, written in the client's."""

    def __init__(self, writer: StreamWriter, encoding: str) -> None:
        self._writer = writer
        self.unpack = None if encoding == "identity" else decompressor(encoding)

    def write(self, frame: SseFrame, events: Sequence[Event]) -> bytes:
        """What a frame becomes; a heartbeat stays one, so that clients and proxies stay awake."""
        if not frame.data or frame.event == "ping":
            return PING
        return b"".join([self._writer.write(event) for event in events])

    def whole(self, assembler: Assembler, reader: StreamParser) -> bool:
        """Whether the answer has come to its end."""
        return bool(assembler.finish_reason)

    def end(self) -> bytes:
        """What closes the stream."""
        return self._writer.end()

    def fail(self, message: str) -> bytes:
        """What ends a stream that was cut."""
        return self._writer.write(Failed(message))


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
