"""Answer format, tools and tool choice, wherever a platform keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.core.records import Call
from deputize.stages.collect.importers import declared_settings as declared
from deputize.stages.collect.importers.base import ImportContext, as_list
from deputize.stages.collect.importers.registry import BUILT_IN

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "get_order", "parameters": {"type": "object"}}}
MESSAGES = [{"role": "user", "content": "U"}]
ANSWER = {"role": "assistant", "content": "A"}
REPLY = {"object": "chat.completion", "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}]}
DECLARED = {"response_format": FORMAT, "tools": [TOOL], "tool_choice": "auto"}
HUMAN = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "schema", "messages", "HumanMessage"],
    "kwargs": {"content": "U"},
}
SAID = {"lc": 1, "type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": "A"}}
OBSERVATION = {"id": "o", "traceId": "t", "type": "GENERATION", "model": "m", "output": ANSWER}
RUN = {"id": "r", "run_type": "llm", "trace_id": "t"}
SPAN = {"traceId": "46866926c4855356", "spanId": "41354a2a", "startTimeUnixNano": "1760000000000000000"}

ROWS: dict[str, dict[str, Any]] = {
    "a body": {"request": {"messages": MESSAGES, **DECLARED}, "response": REPLY},
    "Langfuse's settings as text": {
        **OBSERVATION,
        "input": MESSAGES,
        "modelParameters": {k: json.dumps(v) if k != "tool_choice" else v for k, v in DECLARED.items()},
    },
    "Langfuse's metadata": {**OBSERVATION, "input": MESSAGES, "metadata": DECLARED},
    "LangSmith's invocation": {
        **RUN,
        "inputs": {"messages": [[HUMAN]]},
        "outputs": {"generations": [[{"text": "A", "message": SAID}]]},
        "extra": {"invocation_params": {"model": "m", **DECLARED}},
    },
    "LangSmith's options": {
        **RUN,
        "inputs": {"messages": [[HUMAN]]},
        "outputs": {"generations": [[{"text": "A", "message": SAID}]]},
        "extra": {
            "invocation_params": {"tools": [TOOL], "tool_choice": "auto"},
            "options": {
                "ls_structured_output_format": {
                    "kwargs": {"method": "json_schema"},
                    "schema": {"type": "function", "function": {"name": "x", "parameters": SCHEMA}},
                }
            },
        },
    },
    "OpenInference": {
        **SPAN,
        "attributes": {
            "openinference.span.kind": "LLM",
            "llm.input_messages": [{"message.role": "user", "message.content": "U"}],
            "llm.output_messages": [{"message.role": "assistant", "message.content": "A"}],
            "llm.invocation_parameters": json.dumps(DECLARED),
        },
    },
    "pydantic-ai": {
        **SPAN,
        "attributes": {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "U"}]}],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "A"}]}],
            "model_request_parameters": {
                "function_tools": [{"name": "get_order", "parameters_json_schema": {"type": "object"}}],
                "output_object": {"name": "x", "json_schema": SCHEMA},
            },
            "gen_ai.request.temperature": 0,
        },
    },
    "Vercel's inner span": {
        **SPAN,
        "attributes": {
            "ai.operationId": "ai.generateObject.doGenerate",
            "ai.prompt.messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": "U"}]}]),
            "ai.prompt.tools": [
                json.dumps({"type": "function", "name": "get_order", "inputSchema": {"type": "object"}})
            ],
            "ai.prompt.toolChoice": json.dumps({"type": "auto"}),
            "ai.schema": json.dumps({"title": "x", **SCHEMA}),
            "ai.response.object": '{"a": "b"}',
        },
    },
    "Braintrust": {
        "span_id": "s",
        "span_attributes": {"type": "llm"},
        "input": MESSAGES,
        "output": REPLY["choices"],
        "metadata": DECLARED,
    },
    "Datadog": {
        "attributes": {
            "span_kind": "llm",
            "span_id": "s",
            "ml_app": "bot",
            "input": {"messages": MESSAGES},
            "output": {"messages": [ANSWER]},
            "metadata": {"response_format": FORMAT, "tool_choice": "auto"},
            "tool_definitions": [{"name": "get_order", "schema": {"type": "object"}}],
        }
    },
    "DSPy": {"messages": MESSAGES, "kwargs": DECLARED, "outputs": ["A"], "response": "ModelResponse()"},
    "a line for fine-tuning": {"messages": [*MESSAGES, ANSWER], **DECLARED},
    "Ollama": {
        "messages": MESSAGES,
        "tools": [TOOL],
        "tool_choice": "auto",
        "format": {"title": "x", **SCHEMA},
        "options": {"temperature": 0, "num_predict": 7},
        "response": {"message": ANSWER, "done": True},
    },
}


def read(row: dict[str, Any]) -> Call:
    importer = next(i for i in BUILT_IN if i.sniff(row))
    (found,) = as_list(importer.parse(row, ImportContext("log.jsonl", 1)))
    assert isinstance(found, Call), found
    return found


@pytest.mark.parametrize("place", ROWS)
def test_every_platforms_place_is_looked_at(place: str) -> None:
    call = read(ROWS[place])
    assert call.response_format is not None
    assert call.response_format["type"] == "json_schema"
    schema = call.response_format["json_schema"]["schema"]
    assert {k: v for k, v in schema.items() if k != "title"} == SCHEMA
    assert call.tools is not None
    assert [t["function"]["name"] for t in call.tools] == ["get_order"]
    assert call.tool_choice in ("auto", None)
    assert not declared.DECLARED & call.params.keys()


def test_ollamas_options_are_settings() -> None:
    assert read(ROWS["Ollama"]).params == {"temperature": 0, "max_tokens": 7}


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("json", {"type": "json_object"}),
        ({"type": "json_object"}, {"type": "json_object"}),
        (json.dumps(FORMAT), FORMAT),
        ({"type": "json_schema", "name": "x", "schema": SCHEMA}, FORMAT),
        (
            {**SCHEMA, "title": "x"},
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {**SCHEMA, "title": "x"}}},
        ),
        ("pdf", None),
        ("<class 'app.Answer'>", None),
        ({"colour": "red"}, None),
        (None, None),
    ],
)
def test_answer_formats(raw: Any, wanted: Any) -> None:
    assert declared.answer_format(raw) == wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("any", "required"),
        ({"type": "tool", "toolName": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "required"}, "required"),
        ("AUTO", "auto"),
        ("get_order", None),
        (None, None),
    ],
)
def test_tool_choices(raw: Any, wanted: Any) -> None:
    assert declared.tool_choice(raw) == wanted


def test_a_list_of_names_is_no_definition_of_tools() -> None:
    assert declared.declared_tools([{"tools": ["get_order"]}, {"functions": [TOOL]}]) == [TOOL]
