"""OTLP traces in protobuf files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deputize.core.artifacts import Skip
from deputize.core.errors import MissingExtra
from deputize.core.records import Call
from deputize.stages.collect.containers.decompress import ExpandsTooFar, Expansion, UnreadableFile
from deputize.stages.collect.containers.log_files import LogFile, find_log_files
from deputize.stages.collect.containers.log_objects import read_objects
from deputize.stages.collect.containers.otlp_protobuf import has_too_many_messages, is_otlp_name, otlp_exports
from deputize.stages.collect.importers.otel import OtelImporter
from deputize.stages.collect.log_reader import LogReader

MAX = 2**20


def attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": v} for v in value]}}}
    return {
        "key": key,
        "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
    }


def export(number: int, n_spans: int = 2) -> dict[str, Any]:
    """An export as OTLP's JSON has it."""
    spans = []
    for index in range(n_spans):
        asked = [
            {"role": "user", "parts": [{"type": "text", "content": f"question {number}.{index} größer"}]}
        ]
        said = [{"role": "assistant", "parts": [{"type": "text", "content": "ja"}], "finish_reason": "stop"}]
        spans.append(
            {
                "traceId": f"{number:032x}",
                "spanId": f"{number:08x}{index + 1:08x}",
                "parentSpanId": "00000000000000ff",
                "name": "chat gpt-4o",
                "kind": 3,
                "startTimeUnixNano": str(1_760_000_000_000_000_000 + index),
                "endTimeUnixNano": str(1_760_000_000_812_000_000 + index),
                "attributes": [
                    attribute("gen_ai.operation.name", "chat"),
                    attribute("gen_ai.request.model", "gpt-4o"),
                    attribute("gen_ai.conversation.id", f"run-{number}"),
                    attribute("gen_ai.usage.input_tokens", 9),
                    attribute("gen_ai.usage.output_tokens", 2),
                    attribute("gen_ai.response.finish_reasons", ["stop"]),
                    attribute("gen_ai.input.messages", json.dumps(asked)),
                    attribute("gen_ai.output.messages", json.dumps(said)),
                ],
            }
        )
    resource = {"attributes": [attribute("service.name", "desk")]}
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": spans}]}]
    }


def packed(value: dict[str, Any]) -> bytes:
    """The same in protobuf."""
    message = ParseDict(value, ExportTraceServiceRequest())
    for shown, made in zip(value["resourceSpans"], message.resource_spans, strict=True):
        for given, span in zip(shown["scopeSpans"][0]["spans"], made.scope_spans[0].spans, strict=True):
            span.trace_id, span.span_id = bytes.fromhex(given["traceId"]), bytes.fromhex(given["spanId"])
            span.parent_span_id = bytes.fromhex(given["parentSpanId"])
    data: bytes = message.SerializeToString()
    return data


def framed(*messages: bytes) -> bytes:
    """Messages as the collector's file exporter writes them."""
    return b"".join(struct.pack(">I", len(m)) + m for m in messages)


def calls(path: Path) -> list[Call]:
    """What the importers make of a file."""
    reader = LogReader((OtelImporter(),), "", lambda raw, _: raw)
    (file,) = find_log_files([path]).files
    found = [item.item for part in read_objects(file) for item in reader.read(part)]
    found += [item.item for item in reader.finish()]
    assert all(isinstance(item, Call) for item in found), found
    return [item for item in found if isinstance(item, Call)]


EXPORTS = [export(1), export(2, n_spans=1), export(3)]
TOGETHER = {"resourceSpans": [r for value in EXPORTS for r in value["resourceSpans"]]}
FORMS = {
    "one.pb": packed(TOGETHER),
    "one.binpb": packed(TOGETHER),
    "one.PB": packed(TOGETHER),
    "one.pb.gz": gzip.compress(packed(TOGETHER)),
    "one.pb.zst": zstandard.compress(packed(TOGETHER)),
    "one.binpb.bz2": bz2.compress(packed(TOGETHER)),
    "many.pb": framed(*map(packed, EXPORTS)),
    "many.pb.gz": gzip.compress(framed(*map(packed, EXPORTS))),
    "each-compressed.pb": framed(*(zstandard.compress(packed(v)) for v in EXPORTS)),
}


@pytest.mark.parametrize("name", FORMS)
def test_protobuf_gives_the_calls_that_json_does(name: str, tmp_path: Path) -> None:
    plain, binary = tmp_path / "plain.jsonl", tmp_path / name
    plain.write_text("".join(json.dumps(value) + "\n" for value in EXPORTS))
    binary.write_bytes(FORMS[name])
    found = calls(binary)
    assert found == calls(plain) and len(found) == 5
    assert found[0].messages[-1]["content"] == "question 1.0 größer" and found[0].response["content"] == "ja"
    assert found[0].usage is not None and found[0].usage.prompt_tokens == 9
    assert found[0].latency_ms == pytest.approx(812.0)


def test_what_stands_before_a_cut_is_read(tmp_path: Path) -> None:
    for name, data, n_whole in (("a.pb", FORMS["many.pb"], 2), ("b.pb", FORMS["one.pb"], 2)):
        path = tmp_path / name
        path.write_bytes(data[:-20])
        (file,) = find_log_files([path]).files
        *whole, last = read_objects(file)
        assert len(whole) == n_whole and isinstance(last.value, Skip) and "cut off" in last.value.reason


def test_a_large_message_is_read_resource_by_resource_in_bounded_memory() -> None:
    data = packed(TOGETHER)
    largest = max(len(packed({"resourceSpans": [r]})) for r in TOGETHER["resourceSpans"])
    assert len(data) > largest
    assert len(list(otlp_exports(io.BytesIO(data), largest, Expansion(len(data))))) == 3
    with pytest.raises(UnreadableFile, match="more than"):
        list(otlp_exports(io.BytesIO(data), largest // 2, Expansion(len(data))))
    with pytest.raises(UnreadableFile, match="more than"):
        list(otlp_exports(io.BytesIO(b"\x00\xff\xff\xff" + b"x" * 10), 1000, Expansion()))


def test_what_a_compressed_message_says_of_its_size_is_not_believed() -> None:
    zeros = zstandard.ZstdCompressor().compress(b"\0" * (200 * MAX))
    assert len(zeros) < 20_000
    with pytest.raises(UnreadableFile, match="more than"):
        list(otlp_exports(io.BytesIO(framed(zeros)), MAX, Expansion()))
    span = {"traceId": "00" * 16, "spanId": "00" * 8, "parentSpanId": "", "name": "x" * MAX}
    long = packed({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    many = framed(zstandard.ZstdCompressor().compress(long)) * 50
    with pytest.raises(ExpandsTooFar):
        list(otlp_exports(io.BytesIO(many), 2 * MAX, Expansion(len(many))))
    cut = zstandard.ZstdCompressor().compress(packed(export(1)))[:-6]
    with pytest.raises(UnreadableFile, match="damaged"):
        list(otlp_exports(io.BytesIO(framed(cut)), MAX, Expansion()))


LOGS = ParseDict(
    {
        "resourceLogs": [
            {"scopeLogs": [{"logRecords": [{"body": {"stringValue": "text"}, "timeUnixNano": "5"}]}]}
        ]
    },
    ExportLogsServiceRequest(),
).SerializeToString()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK and so on", "unknown kind"),
        (b"\x0a\xff\xff\xff\xff\xff\xff", "damaged"),
        (b"\x0a\x02\xff\xff", "no OTLP traces"),
        (packed(export(1)) + b"\x12\x00", "damaged"),
        (framed(b"\xff\xff"), "no OTLP traces"),
        (framed(b"\x28\xb5\x2f\xfdxxxx"), "damaged"),
        (LOGS, "no OTLP traces"),
        (framed(LOGS), "no OTLP traces"),
        (b"\x00\x00", "cut off"),
    ],
)
def test_other_bytes_are_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        list(otlp_exports(io.BytesIO(data), MAX, Expansion()))


def test_nothing_is_no_export() -> None:
    assert not list(otlp_exports(io.BytesIO(b""), MAX, Expansion()))


def test_names() -> None:
    assert is_otlp_name("a.pb") and is_otlp_name("x/traces.binpb.ZST") and is_otlp_name("t.zip!a.pb")
    assert not is_otlp_name("a.pb.json") and not is_otlp_name("apb") and not is_otlp_name("a.jsonl.gz")


def test_without_the_package_the_line_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "one.pb"
    path.write_bytes(FORMS["one.pb"])
    monkeypatch.setitem(sys.modules, "google.protobuf.json_format", None)
    (file,) = find_log_files([path]).files
    assert isinstance(file, LogFile)
    with pytest.raises(MissingExtra, match=r"deputize\[otel\]"):
        list(read_objects(file))


def test_messages_are_counted_before_they_are_decoded() -> None:
    body = ParseDict(export(1, n_spans=3), ExportTraceServiceRequest()).SerializeToString()
    n = _n_messages(ParseDict(export(1, n_spans=3), ExportTraceServiceRequest()))
    assert not has_too_many_messages(body, n) and has_too_many_messages(body, n - 1)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 2000,
        b"\x0a\xa0\x1f" + b"\x0a\x00" * 2000,
        b"\x0a\xa6\x1f\x0a\xa3\x1f" + b"\x0a\x00" * 2000,
        b"\x7a\x00" * 5000,
        b"\x08\x01" * 5000,
    ],
)
def test_many_small_messages_are_not_decoded(body: bytes) -> None:
    assert has_too_many_messages(body, 1000) and not has_too_many_messages(body[:500], 1000)


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 50, b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x0c", b"\x09\x00"]
)
def test_what_is_damaged_is_left_to_the_decoder(body: bytes) -> None:
    assert not has_too_many_messages(body)


def _n_messages(message: Any) -> int:
    """Messages inside of one, by protobuf's own reading."""
    inner = [
        one
        for field, value in message.ListFields()
        if field.message_type is not None
        for one in (value if hasattr(value, "append") or hasattr(value, "add") else [value])
    ]
    return len(inner) + sum(map(_n_messages, inner))
