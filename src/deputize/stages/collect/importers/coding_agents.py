"""Importers of transcripts of coding agents: Claude Code, Codex and Gemini CLI.

They hold neither the system prompt nor the tools, so no route that is trained on them would match live requests; the
gateway in front of the agent records both. Calls from them carry the source "transcript".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, as_list, parse_alone
from deputize.stages.collect.importers.conversation_turns import calls_or_skip
from deputize.stages.collect.importers.embedded_json import as_text, objects
from deputize.stages.collect.importers.recorded_exchange import KnownFields
from deputize.wire import messages_request, responses_request
from deputize.wire.json_fields import mapping

SOURCE = "transcript"
WITHOUT_SYSTEM = "a transcript without its system prompt and tools, which live requests have: record through the gateway instead"
MAX_ROWS = 100_000


def _note(context: ImportContext, calls: list[Call | Skip]) -> list[Call | Skip]:
    """The calls, and once a file the note that something is missing in all of them."""
    return [*calls, context.no_call(WITHOUT_SYSTEM)]


def _turns(messages: list[dict[str, Any]], context: ImportContext, known: KnownFields) -> list[Call | Skip]:
    return as_list(calls_or_skip(messages, context, known)) if messages else []


class ClaudeCodeImporter:
    """Lines of ~/.claude/projects/*/*.jsonl."""

    name = "claude-code"
    description = "Claude Code transcripts (without system prompt and tools)"
    marks = frozenset(("message", "leafUuid", "uuid", "messageId", "sessionId"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if row.get("type") in ("user", "assistant") and isinstance(row.get("message"), dict):
            return "sessionId" in row or "parentUuid" in row or "uuid" in row
        return row.get("type") in _OTHER_LINES and (
            "leafUuid" in row or "uuid" in row or "messageId" in row or "sessionId" in row
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _FileJoiner:
        return _FileJoiner(_claude_code_calls)


_OTHER_LINES = (
    "summary",
    "system",
    "file-history-snapshot",
    "queue-operation",
    "progress",
    "custom-title",
    "attachment",
)


class CodexImporter:
    """Lines of ~/.codex/sessions/**/rollout-*.jsonl."""

    name = "codex"
    description = "OpenAI Codex CLI rollouts (without system prompt and tools)"
    marks = frozenset(("payload",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return row.get("type") in (
            "session_meta",
            "turn_context",
            "response_item",
            "event_msg",
            "compacted",
        ) and isinstance(row.get("payload"), dict)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _FileJoiner:
        return _FileJoiner(_codex_calls)


class GeminiCliImporter:
    """~/.gemini/tmp/*/chats/session-*.json, and the same as lines."""

    name = "gemini-cli"
    description = "Gemini CLI sessions (without system prompt and tools)"
    marks = frozenset(("projectHash", "type", "$set", "$rewindTo"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if "projectHash" in row and "sessionId" in row:
            return True
        if (
            row.get("type") in ("user", "gemini", "info", "error", "warning")
            and "content" in row
            and "id" in row
            and "timestamp" in row
        ):
            return "message" not in row and "role" not in row
        return bool(row.keys()) and row.keys() <= {"$set", "$rewindTo"}

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _FileJoiner:
        return _FileJoiner(_gemini_cli_calls)


class _FileJoiner:
    """Gathers the lines of a file and reads them as one transcript."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self._context: ImportContext | None = None
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        done: list[Call | Skip] = []
        if self._context is not None and self._context.file != context.file:
            done += self.finish()
        self._context = self._context or context
        if len(self._rows) >= MAX_ROWS:
            return [*done, context.skip(f"a transcript of more than {MAX_ROWS} lines")]
        self._rows.append(row)
        return done

    def finish(self) -> Sequence[Call | Skip]:
        context, rows = self._context, self._rows
        self._context, self._rows = None, []
        if context is None:
            return []
        found: list[Call | Skip] = self._read(rows, context)
        return (
            _note(context, found)
            if any(isinstance(f, Call) for f in found)
            else found or [context.no_call("a transcript without a turn")]
        )


def _claude_code_calls(rows: list[dict[str, Any]], context: ImportContext) -> list[Call | Skip]:
    """Main thread and side threads apart; lines with one message id are one reply, the last one's usage counts."""
    threads: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in rows:
        message = mapping(row.get("message"))
        if (
            row.get("type") not in ("user", "assistant")
            or message is None
            or row.get("isMeta")
            or row.get("isApiErrorMessage")
        ):
            continue
        if message.get("model") == "<synthetic>":
            continue
        key = (as_text(row.get("sessionId")), bool(row.get("isSidechain")))
        thread = threads.setdefault(key, [])
        last = thread[-1] if thread else None
        if (
            row["type"] == "assistant"
            and last is not None
            and last.get("_id") == message.get("id")
            and message.get("id")
        ):
            last["blocks"] += messages_request.content_blocks(message.get("content"))
            last["usage"] = message.get("usage") or last["usage"]
        else:
            thread.append(
                {
                    "role": row["type"],
                    "_id": message.get("id"),
                    "blocks": messages_request.content_blocks(message.get("content")),
                    "usage": message.get("usage"),
                    "model": message.get("model"),
                    "timestamp": row.get("timestamp"),
                }
            )
    out: list[Call | Skip] = []
    for (session, is_side), thread in threads.items():
        name = f"{session}-side" if is_side else session
        messages = [m for one in thread for m in _claude_messages(one)]
        known = KnownFields(
            id=name, agent=context.agent or "claude-code", episode=name, user="", source=SOURCE
        )
        out += _turns(messages, context, known)
    return out


def _claude_messages(one: dict[str, Any]) -> list[dict[str, Any]]:
    found = messages_request.messages_to_chat({"messages": [{"role": one["role"], "content": one["blocks"]}]})
    if one["role"] == "assistant" and found:
        found[0] |= {k: one[k] for k in ("usage", "model", "timestamp") if one.get(k)}
    return found


def _codex_calls(rows: list[dict[str, Any]], context: ImportContext) -> list[Call | Skip]:
    session, model = "", ""
    items: list[dict[str, Any]] = []
    for row in rows:
        payload = mapping(row.get("payload")) or {}
        if row.get("type") == "session_meta":
            session = as_text(payload.get("id"))
        elif row.get("type") == "turn_context":
            model = as_text(payload.get("model")) or model
        elif row.get("type") == "response_item" and payload.get("type") in (
            "message",
            "function_call",
            "function_call_output",
            "reasoning",
            "custom_tool_call",
            "custom_tool_call_output",
        ):
            items.append(_codex_item(payload))
    messages = responses_request.items_to_chat(items) if items else []
    known = KnownFields(
        id=session,
        agent=context.agent or "codex",
        episode=session or None,
        user="",
        model=model or None,
        source=SOURCE,
        timestamp=side.timestamp(rows),
    )
    return _turns(messages, context, known)


def _codex_item(payload: dict[str, Any]) -> dict[str, Any]:
    if payload.get("type") == "custom_tool_call":
        return {
            "type": "function_call",
            "call_id": payload.get("call_id"),
            "name": payload.get("name"),
            "arguments": as_text(payload.get("input")),
        }
    if payload.get("type") == "custom_tool_call_output":
        return {**payload, "type": "function_call_output"}
    return payload


def _gemini_cli_calls(rows: list[dict[str, Any]], context: ImportContext) -> list[Call | Skip]:
    session = next((as_text(r.get("sessionId")) for r in rows if r.get("sessionId")), "")
    turns: list[dict[str, Any]] = []
    for row in rows:
        held = row.get("messages")
        turns += (
            [m for m in held if isinstance(m, dict)]
            if isinstance(held, list)
            else [row]
            if "type" in row
            else []
        )
        rewind = row.get("$rewindTo")
        if isinstance(rewind, str):
            places = [n for n, turn in enumerate(turns) if turn.get("id") == rewind]
            turns = turns[: places[0]] if places else turns
    messages = [m for turn in turns for m in _gemini_cli_messages(turn)]
    known = KnownFields(
        id=session,
        agent=context.agent or "gemini-cli",
        episode=session or None,
        user="",
        source=SOURCE,
    )
    return _turns(messages, context, known)


def _gemini_cli_messages(turn: dict[str, Any]) -> list[dict[str, Any]]:
    text = turn.get("content")
    if isinstance(text, list):
        text = "".join(as_text(p.get("text")) for p in text if isinstance(p, dict))
    if turn.get("type") == "user":
        return [{"role": "user", "content": as_text(text)}]
    if turn.get("type") != "gemini":
        return []
    calls = [c for c in objects(turn.get("toolCalls")) if isinstance(c.get("name"), str)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": as_text(text),
        "usage": turn.get("tokens"),
        "model": turn.get("model"),
        "timestamp": turn.get("timestamp"),
    }
    if calls:
        message["tool_calls"] = [
            {"id": c.get("id"), "name": c.get("name"), "args": c.get("args")} for c in calls
        ]
    return [
        message,
        *(
            {
                "role": "tool",
                "tool_call_id": as_text(c.get("id")),
                "name": c["name"],
                "content": _gemini_result(c.get("result")),
            }
            for c in calls
        ),
    ]


def _gemini_result(result: Any) -> str:
    parts = result if isinstance(result, list) else [result]
    texts = []
    for part in parts:
        held = mapping(part.get("functionResponse")) if isinstance(part, dict) else None
        response = held.get("response") if held is not None else part
        output = response.get("output") if isinstance(response, dict) and "output" in response else response
        texts.append(as_text(output))
    return "\n".join(texts)
