"""Importers of recorded HTTP traffic: HAR files of browsers and proxies, cassettes of VCR. Headers are never read."""

from __future__ import annotations

import base64
import gzip
import io
import zlib
from typing import Any

from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.stages.collect.importers.side_fields import number, seconds
from deputize.wire.json_fields import mapping

MAX_BODY_BYTES = 64 * 2**20
_CHAT_PATHS = (
    "/completions",
    "/messages",
    "/responses",
    "/decisions",
    "/systemone",
    ":generatecontent",
    ":streamgeneratecontent",
    "/converse",
    "/converse-stream",
    "/invoke",
    "/chat",
    "/generate",
)


class HarImporter:
    """Entries of a HAR file."""

    name = "har"
    description = "HAR files (browsers, mitmproxy, Charles, Proxyman, Polly.js): calls of OpenAI, Anthropic, Gemini, Bedrock"
    marks = frozenset(("request",))

    def sniff(self, row: dict[str, Any]) -> bool:
        request = row.get("request")
        return (
            isinstance(request, dict)
            and "url" in request
            and isinstance(row.get("response"), dict)
            and ("startedDateTime" in row or "postData" in request)
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        request, response = mapping(row.get("request")) or {}, mapping(row.get("response")) or {}
        posted, content = mapping(request.get("postData")) or {}, mapping(response.get("content")) or {}
        body = structured(posted.get("text"))
        text = content.get("text")
        if isinstance(text, str) and content.get("encoding") == "base64":
            text = _decoded(_from_base64(text))
        time = number(row.get("time"))
        known = KnownFields(
            id="",
            timestamp=seconds(row.get("startedDateTime")),
            latency_ms=round(time, 3) if time is not None and time >= 0 else None,
        )
        return _exchange(request.get("url"), body, text, response.get("status"), known, context)


class VcrImporter:
    """Interactions of a cassette."""

    name = "vcr"
    description = "cassettes of vcrpy and pytest-recording (YAML or JSON)"
    marks = frozenset(("interactions", "request"))

    def sniff(self, row: dict[str, Any]) -> bool:
        held = row.get("interactions")
        if isinstance(held, list):
            return bool(held)
        request, response = row.get("request"), row.get("response")
        is_exchange = isinstance(request, dict) and "uri" in request and isinstance(response, dict)
        return is_exchange and not isinstance(row.get("ai"), dict)  # Kong keeps the texts there

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        held = row.get("interactions")
        interactions = held if isinstance(held, list) else [row]
        out: list[Any] = []
        for one in interactions:
            found = (
                self._one(one, context)
                if isinstance(one, dict)
                else context.skip("an interaction that is no object")
            )
            out += found if isinstance(found, list) else [found]
        return out or context.skip("a cassette without an interaction")

    def _one(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        request, response = mapping(row.get("request")) or {}, mapping(row.get("response")) or {}
        body = structured(
            _decoded(
                request.get("body")
                if not isinstance(request.get("body"), dict)
                else request["body"].get("string", request["body"])
            )
        )
        held = response.get("body")
        raw = (
            held.get("string", held.get("base64_string"))
            if isinstance(held, dict)
            else held
            if held is not None
            else response.get("content")
        )
        status = mapping(response.get("status"))
        code = (
            status.get("code") if status is not None else response.get("status_code", response.get("status"))
        )
        known = KnownFields(id="", timestamp=seconds(row.get("recorded_at")))
        return _exchange(request.get("uri"), body, _decoded(raw), code, known, context)


def _exchange(
    url: Any, body: Any, text: Any, status: Any, known: KnownFields, context: ImportContext
) -> Parsed:
    path = str(url).lower().split("?")[0]
    if not isinstance(body, dict) or not protocol_of(body):
        return context.no_call("no chat call, by its address and body")
    if path and not path.endswith(_CHAT_PATHS) and not any(p in path for p in _CHAT_PATHS):
        return context.no_call("no chat call, by its address and body")
    code = number(status)
    if code is not None and code >= 400:
        known = KnownFields(
            id=known.id, timestamp=known.timestamp, latency_ms=known.latency_ms, status=int(code)
        )
    model = (
        path.rsplit("/models/", 1)[-1].split(":")[0] if "/models/" in path and "model" not in body else None
    )
    try:
        return exchange_calls(
            {},
            body,
            text if text else None,
            context,
            KnownFields(
                id=known.id,
                timestamp=known.timestamp,
                latency_ms=known.latency_ms,
                status=known.status,
                model=model,
            ),
        )
    except Unreadable as why:
        return context.skip(str(why))


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _decoded(raw: Any) -> Any:
    """A body as text: bytes unpacked where they are gzip or zlib, up to a bound."""
    if not isinstance(raw, bytes):
        return raw
    try:
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.GzipFile(fileobj=io.BytesIO(raw)).read(MAX_BODY_BYTES)
        elif raw[:1] == b"\x78":
            raw = zlib.decompressobj().decompress(raw, MAX_BODY_BYTES)
    except (OSError, EOFError, zlib.error):
        return None
    return raw.decode("utf-8", "replace")
