"""Requests in the form in which Claude Code and Codex send them, to LLMs of their own protocol and of another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from tests.integration.gateway.frames import look
from tests.integration.gateway.upstream import LoopbackUpstream, Seen, Stream, Whole

from deputize.core.records import Call

Recorded = Callable[[int], list[Call]]

pytestmark = pytest.mark.slow

MARK = {"type": "ephemeral"}
BASH: dict[str, Any] = {
    "type": "object",
    "properties": {"command": {"type": "string"}, "timeout": {"type": "number"}},
    "required": ["command"],
    "additionalProperties": False,
    "$schema": "http://json-schema.org/draft-07/schema#",
}
CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 32000,
    "stream": True,
    "system": [
        {"type": "text", "text": "You are a coding agent.", "cache_control": MARK},
        {"type": "text", "text": "Working directory: /repo", "cache_control": MARK},
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>No todo list.</system-reminder>"},
                {"type": "text", "text": "Run the tests."},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Run pytest.", "signature": "c2ln"},
                {"type": "text", "text": "I run them."},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "pytest"}},
                {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1 failed", "is_error": True},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "src"}],
                    "cache_control": MARK,
                },
            ],
        },
    ],
    "tools": [{"name": "Bash", "description": "Runs a command.", "input_schema": BASH}],
    "metadata": {"user_id": "user_1_account__session_2"},
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}
CLAUDE_CODE_HEADERS = {
    "x-api-key": "k",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    "x-app": "cli",
}
CODEX: dict[str, Any] = {
    "model": "gpt-5-codex",
    "instructions": "You are a coding agent.",
    "input": [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "Sandbox: read-only"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Run the tests."}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAA"},
        {
            "type": "function_call",
            "name": "shell",
            "arguments": '{"command":["pytest"]}',
            "call_id": "call_1",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": '{"output":"1 failed"}'},
        {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin Patch", "call_id": "call_2"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Success."},
    ],
    "tools": [
        {
            "type": "function",
            "name": "shell",
            "description": "Runs a command.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "array", "items": {"type": "string"}}},
            },
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"},
        },
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199-session",
    "text": {"verbosity": "medium"},
}
CODEX_HEADERS = {
    "authorization": "Bearer k",
    "originator": "codex_cli_rs",
    "session_id": "0199-session",
    "accept": "text/event-stream",
}


def on(protocol: str) -> Callable[[Seen], Whole | Stream]:
    """An LLM that has one protocol only, and calls a tool."""
    path = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}[
        protocol
    ]

    def answer(seen: Seen) -> Whole | Stream:
        if seen.path.partition("?")[0] != path:
            return Whole(b'{"detail":"Not Found"}', status=404)
        return look(protocol, stream=bool(seen.json.get("stream")))

    return answer


async def events(url: str, body: dict[str, Any], headers: dict[str, str]) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as reply:
        text = await reply.text()
        assert reply.status == 200, text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def test_claude_code_on_its_own_protocol(
    anthropic_gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.script = on("messages")
    got = await events(f"{anthropic_gateway}/v1/messages?beta=true", CLAUDE_CODE, CLAUDE_CODE_HEADERS)
    (seen,) = upstream.seen
    assert seen.json == CLAUDE_CODE and seen.path == "/v1/messages?beta=true"
    assert seen.headers["anthropic-beta"] == CLAUDE_CODE_HEADERS["anthropic-beta"]
    assert got[-1]["type"] == "message_stop"
    (call,) = recorded(1)
    assert call.response["tool_calls"][0]["function"]["name"] == "weather"
    assert [m["role"] for m in call.messages] == ["system", "user", "assistant", "tool", "tool"]
    assert call.origin and "user_1_account" not in repr(call)


async def test_claude_code_on_a_server_of_chat_completions(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.script = on("chat")
    got = await events(f"{gateway}/v1/messages?beta=true", CLAUDE_CODE, CLAUDE_CODE_HEADERS)
    sent = upstream.seen[-1].json
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert not {"thinking", "context_management", "system", "metadata"} & sent.keys()
    assert all(
        "signature" not in json.dumps(m) and "cache_control" not in json.dumps(m) for m in sent["messages"]
    )
    assert [t["id"] for t in sent["messages"][2]["tool_calls"]] == ["toolu_1", "toolu_2"]
    assert [e["content_block"]["type"] for e in got if e["type"] == "content_block_start"] == [
        "text",
        "tool_use",
    ]
    assert next(e for e in got if e["type"] == "message_delta")["delta"]["stop_reason"] == "tool_use"
    assert recorded(1)[0].protocol == "messages"


async def test_codex_on_its_own_protocol(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.script = on("responses")
    got = await events(f"{gateway}/v1/responses", CODEX, CODEX_HEADERS)
    (seen,) = upstream.seen
    assert seen.json == CODEX and seen.headers["session_id"] == "0199-session"
    assert got[-1]["type"] == "response.completed"
    (call,) = recorded(1)
    assert [m["role"] for m in call.messages] == [
        "system",
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert call.messages[5]["tool_calls"][0]["custom"] == {"name": "apply_patch", "input": "*** Begin Patch"}


@pytest.mark.parametrize("protocol", ["chat", "messages"])
async def test_codex_on_a_server_of_another_protocol(
    gateway: str, anthropic_gateway: str, upstream: LoopbackUpstream, protocol: str
) -> None:
    upstream.script = on(protocol)
    base_url = gateway if protocol == "chat" else anthropic_gateway
    got = await events(f"{base_url}/v1/responses", CODEX, CODEX_HEADERS)
    items = got[-1]["response"]["output"]
    assert [i["type"] for i in items] == ["message", "function_call"] and got[-1][
        "type"
    ] == "response.completed"
    sent = upstream.seen[-1].json
    assert "encrypted_content" not in json.dumps(sent) and "grammar" not in sent.get("tools", [{}])[0]
    assert len(sent["tools"]) == 2
