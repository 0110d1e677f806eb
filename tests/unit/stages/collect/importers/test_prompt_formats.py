"""Requests of every protocol."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.prompt_formats import (
    protocol_of,
    read_prompt,
    read_tools,
    stored_params,
)

SYSTEM = {"role": "system", "content": "s"}
USER = {"role": "user", "content": "u"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("request_body", "protocol"),
    [
        ({"messages": [SYSTEM, USER], "tools": [TOOL]}, "chat"),
        (
            {"messages": [USER], "system": "s", "tools": [{"name": "f", "input_schema": {"type": "object"}}]},
            "messages",
        ),
        (
            {"input": "u", "instructions": "s", "tools": [{"type": "function", **TOOL["function"]}]},
            "responses",
        ),
        (
            {
                "contents": [{"role": "user", "parts": [{"text": "u"}]}],
                "systemInstruction": {"parts": [{"text": "s"}]},
                "tools": [{"functionDeclarations": [TOOL["function"]]}],
            },
            "gemini",
        ),
        (
            {
                "messages": [{"role": "user", "content": [{"text": "u"}]}],
                "system": [{"text": "s"}],
                "toolConfig": {
                    "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]
                },
            },
            "converse",
        ),
        ({"prompt": "u", "system": "s", "tools": [TOOL]}, "completion"),
        (
            {
                "messages": '[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]',
                "tools": [TOOL],
            },
            "chat",
        ),
    ],
)
def test_every_protocol_gives_the_same_prompt(request_body: dict[str, Any], protocol: str) -> None:
    assert protocol_of(request_body) == protocol
    prompt = read_prompt({**request_body, "model": "m"})
    assert (prompt.messages, prompt.tools, prompt.model) == ([SYSTEM, USER], [TOOL], "m")


def test_what_follows_an_earlier_response_is_no_whole_prompt() -> None:
    with pytest.raises(Unreadable, match="previous_response_id"):
        read_prompt({"input": "and then?", "previous_response_id": "resp_1"})


def test_settings_name_no_person_and_no_credential() -> None:
    given = {"temperature": 0, "user": "ann", "API-Key": "x", "extra_headers": {}, "metadata": {}}
    assert stored_params(given) == {"temperature": 0} and stored_params("x") == {}


def test_tools_in_other_forms() -> None:
    want = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"a": 1}}}]
    assert read_tools([{"name": "f", "description": "d", "inputSchema": {"jsonSchema": {"a": 1}}}]) == want
    assert read_tools({"f": '{"description": "d", "parameters": {"a": 1}}'}) == want
    assert read_tools('[{"name": "f", "description": "d", "schema": {"a": 1}}]') == want
    assert read_tools([]) is None
    with pytest.raises(Unreadable, match="tools is not a list"):
        read_tools("f")


def test_a_conversation_that_is_not_in_the_log_is_no_prompt() -> None:
    with pytest.raises(Unreadable, match="that conversation names"):
        read_prompt({"input": "u", "conversation": {"id": "conv_1"}})


def test_coheres_last_message_stands_apart() -> None:
    request = {"message": "u", "chat_history": [{"role": "CHATBOT", "message": "a"}], "preamble": "s"}
    assert [m["role"] for m in read_prompt(request).messages] == ["system", "assistant", "user"]
