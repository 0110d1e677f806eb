"""OTLP traces in protobuf: one export, or many with their lengths before them, as the collector's file exporter writes
them.

References:
    OpenTelemetry, "OTLP Specification"; OpenTelemetry Collector, file exporter (format: proto).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import zstandard

from deputize.core.errors import BadInput, MissingExtra
from deputize.stages.collect.containers.decompress import Expansion, UnreadableFile, read_some, unpacked_zstd

ENDINGS = (".pb", ".binpb")
_PACKED_ENDINGS = (".gz", ".zst", ".bz2", ".xz")
_LENGTH = struct.Struct(">I")
_RESOURCE_SPANS = b"\x0a"
"""Field 1 of an export, which has a length."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_DAMAGED = "the protobuf is damaged or cut off here"


def is_otlp_name(name: str) -> bool:
    """True for the name of a file that holds protobuf, compressed or not."""
    low = name.lower()
    for packed in _PACKED_ENDINGS:
        low = low.removesuffix(packed)
    return low.endswith(ENDINGS)


def otlp_exports(stream: BinaryIO, max_bytes: int, expansion: Expansion) -> Iterator[dict[str, Any]]:
    """The exports of a file, each as OTLP's JSON has it; one that stands alone is given out resource by resource.

    Raises:
        UnreadableFile: it is no such file, holds no traces, expands too far, or breaks off.
        MissingExtra: the package that knows the messages is not installed.
    """
    first = stream.read(1)
    if not first:
        return
    if first == _RESOURCE_SPANS:
        parts = _resources(stream, max_bytes)
    elif first == b"\x00":  # a length below 16 MiB; no message begins so
        parts = _messages(first, stream, max_bytes, expansion)
    else:
        raise UnreadableFile("protobuf of an unknown kind; OTLP traces are read")
    for number, part in enumerate(parts, 1):
        try:
            yield traces_of_protobuf(part)
        except BadInput:
            raise UnreadableFile(f"message {number} of the protobuf holds no OTLP traces") from None


def _messages(first: bytes, stream: BinaryIO, max_bytes: int, expansion: Expansion) -> Iterator[bytes]:
    """Messages with their lengths before them, each compressed by itself or not."""
    head = first + _exactly(stream, 3)
    while True:
        message = _exactly(stream, _checked(_LENGTH.unpack(head)[0], max_bytes))
        if message.startswith(_ZSTD):
            message = _unpacked(message, max_bytes)
            expansion.enter("zstd")
            expansion.unpacked(len(message))
        yield message
        head = read_some(stream, 1)
        if not head:
            return
        head += _exactly(stream, 3)


def _unpacked(message: bytes, max_bytes: int) -> bytes:
    """A message without its compression. What its frame says of its size is not believed."""
    try:
        out = unpacked_zstd(io.BytesIO(message)).read(max_bytes + 1)
    except (zstandard.ZstdError, EOFError):
        raise UnreadableFile(_DAMAGED) from None
    _checked(len(out), max_bytes)
    return out


def _resources(stream: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """The resources of one message, each as a message of its own."""
    while True:
        length, shift, digits = 0, 0, b""
        while True:
            digits += _exactly(stream, 1)
            length |= (digits[-1] & 0x7F) << shift
            shift += 7
            if digits[-1] < 0x80:
                break
            if shift > 28:
                raise UnreadableFile(_DAMAGED)
        yield _RESOURCE_SPANS + digits + _exactly(stream, _checked(length, max_bytes))
        tag = read_some(stream, 1)
        if not tag:
            return
        if tag != _RESOURCE_SPANS:
            raise UnreadableFile(_DAMAGED)


def _checked(length: int, max_bytes: int) -> int:
    if length > max_bytes:
        raise UnreadableFile(f"a message of {length} bytes in the protobuf, more than {max_bytes}")
    return length


def _exactly(stream: BinaryIO, n_bytes: int) -> bytes:
    parts: list[bytes] = []
    while n_bytes:
        part = read_some(stream, n_bytes)
        if not part:
            raise UnreadableFile(_DAMAGED)
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


_ATTRIBUTES = "attribute"
_PARTS: dict[str, dict[int, str]] = {
    "export": {1: "resource spans"},
    "resource spans": {1: "resource", 2: "scope spans"},
    "resource": {1: _ATTRIBUTES, 3: "entity"},
    "entity": {3: "name", 4: "name"},
    "name": {},
    "scope spans": {1: "scope", 2: "span"},
    "scope": {3: _ATTRIBUTES},
    "span": {9: _ATTRIBUTES, 11: "event", 13: "link", 15: "status"},
    "event": {3: _ATTRIBUTES},
    "link": {4: _ATTRIBUTES},
    "status": {},
    _ATTRIBUTES: {2: "value"},
    "value": {5: "list", 6: "map"},
    "list": {1: "value"},
    "map": {1: _ATTRIBUTES},
}
"""Message -> its fields that are messages again, by their numbers (opentelemetry/proto/trace/v1, resource/v1,
common/v1)."""
MAX_MESSAGES = 500_000
_FIELDS_PER_MESSAGE = 4


def has_too_many_messages(body: bytes, most: int = MAX_MESSAGES) -> bool:
    """True where an export holds more messages than may be decoded: each takes hundreds of bytes once it is, and two on
    the wire.

    Walks over the bytes without decoding what is in them; what is damaged is left to the decoder.
    """
    waiting = [(0, len(body), _PARTS["export"])]
    n = n_fields = 0
    while waiting:
        at, end, parts = waiting.pop()
        while at < end:
            n_fields += 1
            if n > most or n_fields > most * _FIELDS_PER_MESSAGE:
                return True
            tag, at = _varint(body, at, end)
            kind = tag & 7
            if kind == 2:
                length, at = _varint(body, at, end)
                part = parts.get(tag >> 3)
                if part is not None:
                    n += 1
                    waiting.append((at, min(end, at + length), _PARTS[part]))
                at += length
            elif kind == 0:
                _, at = _varint(body, at, end)
            else:
                at += {1: 8, 5: 4}.get(kind, end)
    return n > most


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, place after it); ends with the part it is in."""
    value = shift = 0
    while at < end:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 63:
            break
    return value, at


def traces_of_protobuf(body: bytes) -> dict[str, Any]:
    """An export in protobuf as OTLP's JSON has it.

    Raises:
        MissingExtra: the package that knows the messages is not installed.
        BadInput: it is no such message, or one of another signal.
    """
    try:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        raise MissingExtra.package("opentelemetry-proto", "otel") from None
    try:
        message = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise BadInput("The request body is not an export of traces in protobuf.") from None
    spans = [s for resource in message.resource_spans for scope in resource.scope_spans for s in scope.spans]
    if any(len(span.trace_id) != 16 or len(span.span_id) != 8 for span in spans):
        raise BadInput("The request body is not an export of traces in protobuf.")  # of logs or metrics
    export: dict[str, Any] = MessageToDict(message)
    _name_ids(export, message)
    return export


def _name_ids(export: dict[str, Any], message: Any) -> None:
    """Writes the ids of spans as hexadecimal digits, as OTLP's JSON has them and protobuf's own JSON form does not."""
    for shown, resource in zip(export.get("resourceSpans", ()), message.resource_spans, strict=True):
        for shown_scope, scope in zip(shown.get("scopeSpans", ()), resource.scope_spans, strict=True):
            for shown_span, span in zip(shown_scope.get("spans", ()), scope.spans, strict=True):
                shown_span["traceId"], shown_span["spanId"] = span.trace_id.hex(), span.span_id.hex()
                if span.parent_span_id:
                    shown_span["parentSpanId"] = span.parent_span_id.hex()
