"""Dialects of attributes."""

from __future__ import annotations

from deputize.stages.collect.importers.otel_dialects import (
    SpanCall,
    is_llm_span,
    read_attributes,
    read_events,
    session_of,
)


def test_spans_that_are_no_llm_calls_say_so() -> None:
    for attributes in (
        {"gen_ai.operation.name": "execute_tool", "gen_ai.input.messages": "[]"},
        {"ai.operationId": "ai.generateText"},
        {"openinference.span.kind": "TOOL"},
        {"llm.request.type": "embedding", "gen_ai.prompt.0.content": "x"},
    ):
        assert isinstance(read_attributes({}, attributes), str)
    assert read_attributes({}, {"http.method": "GET"}) is None
    assert is_llm_span({"gen_ai.operation.name": "chat"}) and not is_llm_span(
        {"gen_ai.operation.name": "execute_tool"}
    )


def test_nested_openinference_and_events() -> None:
    nested = {
        "openinference": {"span": {"kind": "LLM"}},
        "llm": {
            "model_name": "m",
            "input_messages": [{"message": {"role": "user", "content": "x"}}],
            "output_messages": [{"message": {"role": "assistant", "content": "y"}}],
        },
    }
    found = read_attributes({}, nested)
    assert (
        isinstance(found, SpanCall)
        and found.request["messages"] == [{"role": "user", "content": "x"}]
        and found.model == "m"
    )
    assert (
        read_events([("gen_ai.user.message", {"content": "x"})], {})
        == "the events of a call without its answer"
    )
    told = read_events(
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": "x"}),
            ("gen_ai.content.completion", {"gen_ai.completion": "y"}),
        ],
        {},
    )
    assert isinstance(told, SpanCall) and told.response["content"] == "y"
    assert session_of({"session.id": "s"}) == "s" and session_of({}) == ""
