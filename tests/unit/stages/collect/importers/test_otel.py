"""Spans and events of OpenTelemetry."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.containers.log_objects import LogObject
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.otel import OtelImporter
from deputize.stages.collect.importers.registry import importers_for
from deputize.stages.collect.log_reader import LogReader

CONTEXT = ImportContext("f", 1, around={"resource": {"attributes": {"service.name": "desk"}}})
SPAN = {
    "traceId": "t",
    "spanId": "s",
    "startTimeUnixNano": "1760000000000000000",
    "endTimeUnixNano": "1760000001000000000",
}


def read(*rows: dict[str, Any]) -> list[Call | Skip]:
    joiner = OtelImporter().joiner()
    return [item for row in rows for item in joiner.add(row, CONTEXT)] + list(joiner.finish())


def test_other_spans_are_no_calls_and_calls_without_messages_are_named() -> None:
    (other,) = read({**SPAN, "attributes": {"http.method": "GET"}})
    (empty,) = read({**SPAN, "attributes": {"gen_ai.operation.name": "chat"}})
    assert isinstance(other, Skip) and other.is_no_call
    assert isinstance(empty, Skip) and not empty.is_no_call and "not recorded" in empty.reason


def test_a_failed_span_is_a_failed_call_of_its_service() -> None:
    attributes = {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "x"}]}],
        "error.type": "RateLimitError",
    }
    (call,) = read({**SPAN, "attributes": attributes, "status": {"code": 2, "message": "429 slow down"}})
    assert isinstance(call, Call) and (call.status, call.agent, call.response) == (429, "desk", {})


def test_the_status_of_a_failure_is_also_looked_for_in_what_the_span_says_was_answered() -> None:
    asked = {"messages": [{"role": "user", "content": "x"}]}
    attributes = {
        "openinference.span.kind": "LLM",
        "input.value": json.dumps(asked),
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "x",
        "output.value": json.dumps({"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}),
    }
    (call,) = read({**SPAN, "attributes": attributes, "status_code": "ERROR"})
    assert isinstance(call, Call) and call.status == 429
    attributes["output.value"] = "an answer"
    (call,) = read({**SPAN, "attributes": attributes, "status_code": "ERROR"})
    assert isinstance(call, Call) and call.status == 500


def test_the_history_of_an_agents_run_is_a_conversation() -> None:
    history = [
        {"role": "user", "content": "x", "gen_ai.message.index": 0},
        {"role": "assistant", "content": "y"},
    ]
    (call,) = read(
        {
            "trace_id": "t",
            "start_timestamp": "2025-10-09T08:53:20Z",
            "attributes": {"all_messages_events": history, "agent_name": "a"},
        }
    )
    assert isinstance(call, Call) and (call.agent, call.messages, call.episode) == (
        "a",
        [{"role": "user", "content": "x"}],
        "t",
    )


def test_events_of_a_span_itself() -> None:
    events = [
        {"name": "gen_ai.user.message", "attributes": {"content": "x"}},
        {"name": "gen_ai.choice", "attributes": {"message": '{"content": "y"}'}},
    ]
    (call,) = read({**SPAN, "attributes": {"gen_ai.operation.name": "chat"}, "events": events})
    assert isinstance(call, Call) and call.response["content"] == "y" and call.latency_ms == 1000.0


def test_jaeger_and_tempo() -> None:
    text = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x"}]}])
    answer = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "y"}]}])
    pairs = {"gen_ai.input.messages": text, "gen_ai.output.messages": answer}
    jaeger = {
        "data": [
            {
                "traceID": "t",
                "spans": [
                    {
                        "traceID": "t",
                        "spanID": "s",
                        "startTime": 1760000000000000,
                        "duration": 500000,
                        "tags": [{"key": k, "type": "string", "value": v} for k, v in pairs.items()],
                    }
                ],
            }
        ]
    }
    tempo = {
        "batches": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                **SPAN,
                                "endTimeUnixNano": "1760000000500000000",
                                "attributes": [
                                    {"key": k, "value": {"stringValue": v}} for k, v in pairs.items()
                                ],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    for document in (jaeger, tempo, {"trace": tempo}):
        reader = LogReader(importers_for("auto"))
        (found,) = reader.read(LogObject("f", 1, document))
        call = found.item
        assert isinstance(call, Call) and found.format == "otel"
        assert (call.id, call.episode, call.timestamp, call.latency_ms) == ("s", "t", 1760000000.0, 500.0)


@pytest.mark.parametrize("outer_first", [True, False])
def test_the_schema_of_vercels_objects_comes_from_the_span_around_the_call(outer_first: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    times = {"traceId": "t1", "startTimeUnixNano": "1760000000000000000"}
    outer = {
        **times,
        "spanId": "o",
        "attributes": {"ai.operationId": "ai.generateObject", "ai.schema": json.dumps(schema)},
    }
    inner = {
        **times,
        "spanId": "i",
        "parentSpanId": "o",
        "attributes": {
            "ai.operationId": "ai.generateObject.doGenerate",
            "ai.prompt.messages": json.dumps([{"role": "user", "content": "U"}]),
            "ai.response.object": '{"a": "b"}',
        },
    }
    joiner, context = OtelImporter().joiner(), ImportContext("spans.jsonl", 1)
    rows = [outer, inner] if outer_first else [inner, outer]
    found = [item for row in rows for item in joiner.add(row, context)] + list(joiner.finish())
    (call,) = [item for item in found if isinstance(item, Call)]
    assert call.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": schema},
    }
    alone = OtelImporter().joiner()
    assert not alone.add(inner, context)
    (call,) = [item for item in alone.finish() if isinstance(item, Call)]
    assert call.response_format == {"type": "json_object"}
