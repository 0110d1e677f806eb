"""Messages in all forms."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.message_formats import (
    chat_messages,
    collapsed,
    read_messages,
    without_turn_fields,
)

FUNCTION = {"name": "find", "arguments": '{"q":"a"}'}
CALLS = [{"id": "t1", "type": "function", "function": FUNCTION}]
WANTED: list[dict[str, Any]] = [
    {"role": "user", "content": "find a"},
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "t1", "content": "one"},
]
ASK = {"role": "user", "content": "find a"}


def lc(name: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": fields}


FORMS: dict[str, list[Any]] = {
    "openai": WANTED,
    "langchain": [
        lc("HumanMessage", content="find a"),
        lc("AIMessageChunk", content="", tool_calls=[{"name": "find", "args": {"q": "a"}, "id": "t1"}]),
        lc("ToolMessage", content="one", tool_call_id="t1"),
    ],
    "langchain dumped": [
        {"type": "human", "data": {"content": "find a"}},
        {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": CALLS}}},
        {"type": "tool", "content": "one", "tool_call_id": "t1"},
    ],
    "anthropic": [
        ASK,
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "a"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "one"}]},
    ],
    "converse": [
        {"role": "user", "content": [{"text": "find a"}]},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": "a"}}}],
        },
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}}]},
    ],
    "gemini": [
        {"role": "user", "parts": [{"text": "find a"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "t1", "name": "find", "args": {"q": "a"}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "t1", "name": "find", "response": {"result": "one"}}}],
        },
    ],
    "opentelemetry": [
        {"role": "user", "parts": [{"type": "text", "content": "find a"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "t1", "name": "find", "arguments": {"q": "a"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "one"}]},
    ],
    "vercel": [
        ASK,
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "t1", "toolName": "find", "input": {"q": "a"}}],
        },
        {
            "role": "tool",
            "content": [
                {"type": "tool-result", "toolCallId": "t1", "output": {"type": "text", "value": "one"}}
            ],
        },
    ],
    "agentdojo": [
        {"role": "user", "content": [{"type": "text", "content": "find a"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": "find", "args": {"q": "a"}, "id": "t1"}],
        },
        {"role": "tool", "content": [{"type": "text", "content": "one"}], "tool_call_id": "t1"},
    ],
    "responses": [
        ASK,
        {"type": "function_call", "call_id": "t1", "name": "find", "arguments": '{"q":"a"}'},
        {"type": "function_call_output", "call_id": "t1", "output": "one"},
    ],
    "datadog": [
        ASK,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"name": "find", "arguments": {"q": "a"}, "tool_id": "t1"}],
        },
        {"role": "tool", "content": "one", "tool_id": "t1"},
    ],
    "llamaindex": [
        {"role": "user", "blocks": [{"block_type": "text", "text": "find a"}]},
        {"role": "assistant", "blocks": [], "additional_kwargs": {"tool_calls": CALLS}},
        {"role": "tool", "blocks": [{"block_type": "text", "text": "one"}], "tool_call_id": "t1"},
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_messages(form: str) -> None:
    found = read_messages(FORMS[form])
    assert [{k: v for k, v in m.items() if k != "name"} for m in found] == WANTED


def test_sharegpt_and_text() -> None:
    call = '{"name": "find", "arguments": {"q": "a"}}'
    found = read_messages(
        [
            {"from": "human", "value": "x"},
            {"from": "function_call", "value": call},
            {"from": "observation", "value": "1"},
        ]
    )
    assert found[1]["tool_calls"][0]["function"] == FUNCTION and found[2] == {"role": "tool", "content": "1"}
    assert read_messages("hi", "Be short.") == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "hi"},
    ]
    assert read_messages('{"system": "s", "messages": [{"role": "human", "content": "x"}]}')[1] == {
        "role": "user",
        "content": "x",
    }


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "critic", "content": "x"}, "known role"),
        ({"role": None}, "known role"),
        ({"role": "user", "content": 3}, "content"),
        ({"role": "user", "content": [{"type": "text"}]}, "without its text"),
        ({"role": "assistant", "tool_calls": ["x"]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "name of its tool"),
    ],
)
def test_what_is_no_message_is_named(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        chat_messages(message)


def test_texts_in_parts_become_one_and_fields_of_turns_go() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert collapsed([{"role": "user", "content": parts}]) == [{"role": "user", "content": "a\nb"}]
    assert without_turn_fields({"role": "user", "content": "a", "usage": {}}) == {
        "role": "user",
        "content": "a",
    }


def test_blocks_of_the_same_name_from_another_framework_lose_nothing() -> None:
    result = {
        "role": "user",
        "content": [{"type": "tool_result", "id": "t1", "name": "find", "result": "one"}],
    }
    assert read_messages([result]) == [
        {"role": "tool", "content": "one", "tool_call_id": "t1", "name": "find"}
    ]


def test_the_history_of_pydantic_ai_names_its_speakers_in_its_parts() -> None:
    history: list[dict[str, Any]] = [
        {
            "kind": "request",
            "parts": [
                {"part_kind": "system-prompt", "content": "s"},
                {"part_kind": "user-prompt", "content": "find a"},
            ],
        },
        {
            "kind": "response",
            "parts": [
                {"part_kind": "tool-call", "tool_name": "find", "args": {"q": "a"}, "tool_call_id": "t1"}
            ],
        },
        {
            "kind": "request",
            "parts": [
                {"part_kind": "tool-return", "tool_name": "find", "content": "one", "tool_call_id": "t1"},
                {"part_kind": "retry-prompt", "content": "again"},
            ],
        },
    ]
    system, again = {"role": "system", "content": "s"}, {"role": "user", "content": "again"}
    tool = {**dict(WANTED[2]), "name": "find"}
    assert read_messages(history) == [system, *WANTED[:2], tool, again]


def test_a_value_with_its_type_is_opened() -> None:
    assert read_messages({"type": "chat_messages", "value": [ASK]}) == [ASK]
