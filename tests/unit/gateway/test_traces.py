"""Traces of instrumented agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.stubs import ListRecorder

from deputize.core.errors import BadInput, MissingExtra, UnsupportedMediaType
from deputize.core.recording_policy import Recording
from deputize.gateway.traces import PROTOBUF, TraceReceiver
from deputize.stages.collect.containers.otlp_protobuf import traces_of_protobuf

JSON_TYPE = {"content-type": "application/json"}


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value) if isinstance(value, int) else value}}


def span(number: int, *, llm: bool = True, content: bool = True) -> dict[str, Any]:
    messages = [{"role": "user", "parts": [{"type": "text", "content": f"question {number}"}]}]
    answer = [
        {"role": "assistant", "parts": [{"type": "text", "content": "answer"}], "finish_reason": "stop"}
    ]
    attributes = [attribute("http.method", "GET")]
    if llm:
        attributes = [
            attribute("gen_ai.operation.name", "chat"),
            attribute("gen_ai.request.model", "gpt-4o"),
            attribute("gen_ai.conversation.id", "run-1"),
            attribute("enduser.id", "anna@example.com"),
            attribute("gen_ai.usage.input_tokens", 9),
            attribute("gen_ai.usage.output_tokens", 2),
        ]
        if content:
            attributes += [
                attribute("gen_ai.input.messages", json.dumps(messages)),
                attribute("gen_ai.output.messages", json.dumps(answer)),
            ]
    return {
        "traceId": "46866926c4855356bbe420ab52a99ef5",
        "spanId": f"{number:016x}",
        "name": "chat",
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000000812000000",
        "attributes": attributes,
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [attribute("service.name", "desk")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


async def test_llm_spans_become_calls_and_others_are_none() -> None:
    recorder = ListRecorder()
    receiver = TraceReceiver(recorder, lambda raw, tenant: f"{tenant}:{len(raw)}")
    body = json.dumps(export(span(1), span(2, llm=False), span(3))).encode()
    reply = await receiver.receive(JSON_TYPE, body, "shop")
    assert (reply.status, reply.body) == (200, b"{}")
    first, second = recorder.calls
    assert first.messages[-1]["content"] == "question 1" and first.response["content"] == "answer"
    assert (first.tenant, first.source, first.model, first.episode) == (
        "shop",
        "otlp",
        "gpt-4o",
        second.episode,
    )
    assert first.usage is not None and first.usage.prompt_tokens == 9
    assert "anna" not in repr(first)
    again = ListRecorder()
    await TraceReceiver(again, lambda raw, tenant: "").receive(JSON_TYPE, body, "shop")
    assert [c.id for c in again.calls] == [first.id, second.id], "the store keeps one of two with one id"


async def test_what_cannot_be_a_call_is_said() -> None:
    receiver = TraceReceiver(ListRecorder(), lambda raw, tenant: "")
    reply = await receiver.receive(JSON_TYPE, json.dumps(export(span(1, content=False))).encode(), "t")
    assert isinstance(reply.body, bytes)
    told = json.loads(reply.body)["partialSuccess"]
    assert told["rejectedSpans"] == 1 and "capturing content was off" in told["errorMessage"]
    with pytest.raises(UnsupportedMediaType):
        await receiver.receive({"content-type": "text/plain"}, b"{}", "t")
    with pytest.raises(BadInput, match="resourceSpans"):
        await receiver.receive(JSON_TYPE, b"{}", "t")


async def test_protobuf_says_the_same() -> None:
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")
    value = export(span(1), span(3))
    message = json_format.ParseDict(value, service.ExportTraceServiceRequest())
    spans = value["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for made, given in zip(message.resource_spans[0].scope_spans[0].spans, spans, strict=True):
        made.trace_id, made.span_id = bytes.fromhex(given["traceId"]), bytes.fromhex(given["spanId"])
    packed, plain = ListRecorder(), ListRecorder()
    reply = await TraceReceiver(packed, lambda raw, tenant: "x").receive(
        {"content-type": PROTOBUF}, message.SerializeToString(), "t"
    )
    await TraceReceiver(plain, lambda raw, tenant: "x").receive(JSON_TYPE, json.dumps(value).encode(), "t")
    assert (reply.status, reply.body) == (200, b"") and packed.calls == plain.calls and len(plain.calls) == 2
    with pytest.raises(BadInput, match="protobuf"):
        traces_of_protobuf(b"\xff\xff")


async def test_an_export_of_many_small_parts_is_refused_before_it_is_decoded() -> None:
    receiver = TraceReceiver(ListRecorder(), lambda raw, tenant: "")
    with pytest.raises(BadInput, match="fewer spans at a time"):
        await receiver.receive({"content-type": PROTOBUF}, b"\x0a\x00" * 500_001, "t")


def test_without_the_package_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "google.protobuf.json_format", None)
    with pytest.raises(MissingExtra, match=r"deputize\[otel\]"):
        traces_of_protobuf(b"")


async def test_traces_of_a_tenant_or_agent_are_kept_as_the_policy_says() -> None:
    recorder = ListRecorder()
    policy = Recording.model_validate({"tenants": {"acme": "metadata"}, "sites": {"desk": "off"}})
    receiver = TraceReceiver(recorder, lambda raw, tenant: "o", policy)
    body = json.dumps(export(span(1))).encode()
    await receiver.receive(JSON_TYPE, body, "acme")
    assert recorder.calls == []
    allowing = TraceReceiver(recorder, lambda raw, tenant: "o", Recording(tenants={"acme": "metadata"}))
    await allowing.receive(JSON_TYPE, body, "acme")
    assert [(c.recorded, c.messages) for c in recorder.calls] == [("metadata", [])]
