"""Importers of exports of chat programs and of other datasets of conversations and instructions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, parse_alone
from deputize.stages.collect.importers.conversation_turns import calls_or_skip
from deputize.stages.collect.importers.embedded_json import as_text, objects, structured
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping


class ChatgptImporter:
    """Conversations of ChatGPT's data export: a tree, of which the branch to the current node is read."""

    name = "chatgpt"
    description = "ChatGPT data export (conversations.json)"
    marks = frozenset(("mapping",))

    def sniff(self, row: dict[str, Any]) -> bool:
        held = row.get("mapping")
        return isinstance(held, dict) and ("current_node" in row or "conversation_id" in row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        nodes = mapping(row.get("mapping")) or {}
        messages: list[dict[str, Any]] = []
        seen: set[str] = set()
        place = row.get("current_node")
        while isinstance(place, str) and place in nodes and place not in seen:
            seen.add(place)
            node = mapping(nodes[place]) or {}
            message = _chatgpt_message(mapping(node.get("message")) or {})
            if message is not None:
                messages.insert(0, message)
            place = node.get("parent")
        name = as_text(row.get("conversation_id") or row.get("id"))
        return calls_or_skip(messages, context, KnownFields(id=name, episode=name, user=""))


def _chatgpt_message(message: dict[str, Any]) -> dict[str, Any] | None:
    author = mapping(message.get("author")) or {}
    content = mapping(message.get("content")) or {}
    parts = content.get("parts")
    text = (
        "\n".join(p for p in parts if isinstance(p, str))
        if isinstance(parts, list)
        else as_text(content.get("text"))
    )
    role = author.get("role")
    if (
        role not in ("system", "user", "assistant", "tool")
        or not text
        or content.get("content_type") not in ("text", "code", "multimodal_text", "execution_output")
    ):
        return None
    metadata = mapping(message.get("metadata")) or {}
    out: dict[str, Any] = {"role": role, "content": text}
    if role == "assistant":
        out |= {
            k: v
            for k, v in (("model", metadata.get("model_slug")), ("timestamp", message.get("create_time")))
            if v
        }
    return out


class AssistantsImporter:
    """Messages of a thread of OpenAI's Assistants, the newest first."""

    name = "openai-assistants"
    description = "OpenAI Assistants threads (lists of thread.message)"
    marks = frozenset(("object",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return row.get("object") == "thread.message"

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _ThreadJoiner:
        return _ThreadJoiner()


class _ThreadJoiner:
    MAX_MESSAGES = 200_000

    def __init__(self) -> None:
        self._threads: dict[str, tuple[ImportContext, list[dict[str, Any]]]] = {}
        self._n_messages = 0

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        self._n_messages += 1
        if self._n_messages > self.MAX_MESSAGES:
            return [context.skip("more messages than are kept; give the threads in parts")]
        self._threads.setdefault(as_text(row.get("thread_id")), (context, []))[1].append(row)
        return []

    def finish(self) -> Sequence[Call | Skip]:
        out: list[Call | Skip] = []
        for name, (context, rows) in self._threads.items():
            rows.sort(key=lambda r: side.number(r.get("created_at")) or 0)
            messages = [
                {"role": r.get("role"), "content": r.get("content"), "timestamp": r.get("created_at")}
                for r in rows
            ]
            found = calls_or_skip(messages, context, KnownFields(id=name, episode=name, user=""))
            out += [found] if isinstance(found, Call | Skip) else list(found)
        self._threads, self._n_messages = {}, 0
        return out


class LlamaindexImporter:
    """A chat store of LlamaIndex."""

    name = "llamaindex"
    description = "LlamaIndex chat stores"
    marks = frozenset(("store",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("store"), dict) and "class_name" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        out: list[Any] = []
        for key, messages in (mapping(row.get("store")) or {}).items():
            # the key is often an id of a person, so it is no name that may be stored
            found = calls_or_skip(messages, context, KnownFields(id="", episode="", user=key))
            out += found if isinstance(found, list) else [found]
        return out or context.skip("a store without a conversation")


class ContinueImporter:
    """Sessions and chat interactions of Continue."""

    name = "continue"
    description = "Continue sessions and development data"
    marks = frozenset(("history", "eventName"))

    def sniff(self, row: dict[str, Any]) -> bool:
        history = row.get("history")
        if isinstance(history, list) and "sessionId" in row:
            return True
        return row.get("eventName") == "chatInteraction" and "prompt" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        session = as_text(row.get("sessionId"))
        history = row.get("history")
        if isinstance(history, list):
            return calls_or_skip(
                [h.get("message") for h in history if isinstance(h, dict)],
                context,
                KnownFields(id=session, episode=session, user=""),
            )
        messages = _tagged(as_text(row.get("prompt")))
        known = KnownFields(
            id="",
            episode=session,
            user=side.text((row,), ("userId",)),
            model=side.text((row,), ("modelName", "modelTitle")) or None,
            tools=row.get("tools") or None,
        )
        try:
            return exchange_calls(
                {k: row[k] for k in ("timestamp",) if k in row},
                {"messages": messages},
                row.get("completion"),
                context,
                known,
            )
        except Unreadable as why:
            return context.skip(str(why))


_TAG = re.compile(r"<(system|user|assistant|tool)>\n")


def _tagged(prompt: str) -> list[dict[str, Any]]:
    """Messages that a prompt log writes one after another, each after a tag of its role."""
    pieces = _TAG.split(prompt)
    if len(pieces) < 3:
        return [{"role": "user", "content": prompt}]
    return [
        {"role": role, "content": text.strip("\n")}
        for role, text in zip(pieces[1::2], pieces[2::2], strict=False)
    ]


class InstructionsImporter:
    """Instructions with an answer (Alpaca), with calls of tools (xLAM), and preferences (DPO)."""

    name = "instructions"
    description = "datasets of instructions: Alpaca, xLAM function calling, OpenAI preference (DPO) lines"
    marks = frozenset(("instruction", "answers", "preferred_output", "chosen"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if "instruction" in row and isinstance(row.get("output"), str) and row.keys() <= _ALPACA:
            return True
        if "query" in row and "answers" in row and "tools" in row:
            return True
        return ("preferred_output" in row and isinstance(row.get("input"), dict)) or (
            "chosen" in row and "rejected" in row
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        known = KnownFields(id=as_text(row.get("id")), tools=row.get("tools"))
        try:
            if "answers" in row:
                calls = structured(row.get("answers"))
                if not isinstance(calls, list):
                    return context.skip("no response")
                response = {"role": "assistant", "content": None, "tool_calls": calls}
                return exchange_calls({}, {"messages": row.get("query")}, response, context, known)
            if "preferred_output" in row:
                return exchange_calls(
                    {},
                    row.get("input"),
                    structured(row["preferred_output"]),
                    context,
                    KnownFields(id=known.id),
                )
            if "chosen" in row:
                return self._chosen(row, context)
            text = "\n\n".join(t for t in (as_text(row.get("instruction")), as_text(row.get("input"))) if t)
            request = {"messages": text, "system": row["system"]} if row.get("system") else {"messages": text}
            return exchange_calls({}, request, row.get("output"), context, KnownFields(id=known.id))
        except Unreadable as why:
            return context.skip(str(why))

    def _chosen(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        chosen = structured(row["chosen"])
        if isinstance(chosen, list) and len(chosen) > 1:
            return calls_or_skip(chosen, context, KnownFields(id=as_text(row.get("id"))))
        return exchange_calls(
            {}, {"messages": row.get("prompt")}, chosen, context, KnownFields(id=as_text(row.get("id")))
        )


_ALPACA = frozenset(
    {"instruction", "input", "output", "text", "id", "system", "history", "data_source", "category", "source"}
)


class GlaiveImporter:
    """Conversations of glaive-function-calling, written as one text."""

    name = "glaive"
    description = "glaive-function-calling datasets"
    marks = frozenset(("chat",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("chat"), str) and "system" in row and "ASSISTANT:" in row["chat"]

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        system = as_text(row.get("system")).removeprefix("SYSTEM:").strip()
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        pieces = _SPEAKER.split(as_text(row.get("chat")))
        for speaker, text in zip(pieces[1::2], pieces[2::2], strict=False):
            messages.append(_glaive_message(speaker, text.replace("<|endoftext|>", "").strip()))
        return calls_or_skip(messages, context, KnownFields(id=as_text(row.get("id"))))


_SPEAKER = re.compile(r"(?:^|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE): ?")
_GLAIVE_CALL = re.compile(
    r"<functioncall>\s*\{\s*\"name\":\s*\"([^\"]+)\"(?:,\s*\"arguments\":\s*'?(\{.*\})'?)?\s*\}", re.DOTALL
)


def _glaive_message(speaker: str, text: str) -> dict[str, Any]:
    if speaker == "USER":
        return {"role": "user", "content": text}
    if speaker == "FUNCTION RESPONSE":
        return {"role": "tool", "tool_call_id": "call_0", "content": text}
    found = _GLAIVE_CALL.search(text)
    if found is None:
        return {"role": "assistant", "content": text}
    function = {"name": found[1], "arguments": found[2] or "{}"}
    before = text[: found.start()].strip()
    return {
        "role": "assistant",
        "content": before or None,
        "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
    }


class HermesImporter:
    """ShareGPT conversations in which calls and results of tools are in tags."""

    name = "hermes"
    description = "Hermes function calling datasets (ShareGPT with <tool_call> tags)"
    marks = frozenset(("conversations",))

    def sniff(self, row: dict[str, Any]) -> bool:
        held = row.get("conversations")
        return isinstance(held, list) and any(
            isinstance(m, dict) and "<tool_call>" in as_text(m.get("value")) for m in held
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        messages = [_hermes_message(m) for m in objects(row.get("conversations"))]
        return calls_or_skip(
            messages,
            context,
            KnownFields(id=as_text(row.get("id"))),
            {k: row[k] for k in ("tools", "system") if k in row},
        )


_TOOL_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_TOOL_RESPONSE = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)


def _hermes_message(message: dict[str, Any]) -> dict[str, Any]:
    text = as_text(message.get("value"))
    sender = message.get("from")
    if sender in ("gpt", "assistant"):
        calls = [c for found in _TOOL_CALL.findall(text) if isinstance(c := _lenient(found), dict)]
        if calls:
            return {
                "role": "assistant",
                "content": text[: text.index("<tool_call>")].strip() or None,
                "tool_calls": calls,
            }
    if sender in ("tool", "observation") and (found := _TOOL_RESPONSE.search(text)) is not None:
        held = structured(found[1])
        inner = (
            held.get("content")
            if isinstance(held, dict) and "content" in held and "name" in held
            else found[1]
        )
        return {"role": "tool", "tool_call_id": "call_0", "content": as_text(inner)}
    return message


def _lenient(text: str) -> Any:
    """A tool call in a tag, which models also write with single quotes."""
    import ast

    try:
        return msgspec.json.decode(text)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    try:
        return ast.literal_eval(text) if len(text) < 100_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
