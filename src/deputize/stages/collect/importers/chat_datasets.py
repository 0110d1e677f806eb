"""Importer of conversations: lines for fine-tuning, chat datasets, and files that are one list of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, parse_alone
from deputize.stages.collect.importers.calls import sibling_response
from deputize.stages.collect.importers.conversation_turns import SeenTurns, conversation_calls
from deputize.stages.collect.importers.embedded_json import structured

_LISTS = (
    "messages",
    "conversation",
    "conversations",
    "dialog",
    "dialogue",
    "chat_history",
    "turns",
    "history",
    "trajectory",
)
MAX_MESSAGES = 20_000
"""Of a file that is one list of messages; what comes after them is not read."""


def _conversation_in(row: dict[str, Any]) -> str:
    """The name of the field that holds a list of messages with a turn of the assistant; "" where there is none."""
    for name in _LISTS:
        messages = structured(row.get(name))
        if isinstance(messages, list) and messages and all(isinstance(m, dict) for m in messages):
            if name == "messages" and sibling_response(row, name) is not None:
                return ""
            if any(
                str(m.get("role") or m.get("from") or m.get("kind") or "").lower() in _ASSISTANTS
                for m in messages
            ):
                return name
            if name == "messages":
                return name
    return ""


_ASSISTANTS = frozenset({"assistant", "gpt", "model", "ai", "function_call", "chatgpt", "bot", "response"})


def is_message(row: dict[str, Any]) -> bool:
    """Check whether an object is one message of a file that is a list of them."""
    role = row.get("role")
    if row.get("kind") in ("request", "response") and isinstance(row.get("parts"), list):
        return True  # pydantic-ai
    return (
        isinstance(role, str)
        and role in ("system", "user", "assistant", "tool", "developer", "model", "human")
        and ("content" in row or "tool_calls" in row or "parts" in row)
    )


class ConversationsImporter:
    """{"messages": [...]} with the assistant's turns among them; each of its turns is a call."""

    name = "conversations"
    description = "conversations, every assistant turn a call: fine-tuning lines, ShareGPT, chat datasets, lists of messages"
    marks = frozenset({*_LISTS, "role", "kind"})

    def sniff(self, row: dict[str, Any]) -> bool:
        return bool(_conversation_in(row)) or is_message(row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _Joiner:
        return _Joiner()


class _Joiner:
    """Leaves out the turns that earlier lines of a file have had, and gathers files that are one list of messages."""

    def __init__(self) -> None:
        self._file = ""
        self._seen = SeenTurns()
        self._context: ImportContext | None = None
        self._messages: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        done: list[Call | Skip] = []
        if self._file != context.file:
            done += self.finish()
            self._file, self._seen = context.file, SeenTurns()
        name = _conversation_in(row)
        if not name and is_message(row):
            self._context = self._context or context
            if len(self._messages) < MAX_MESSAGES:
                self._messages.append(row)
            else:
                done.append(context.skip(f"a list of more than {MAX_MESSAGES} messages"))
            return done
        if not name:
            return [
                *done,
                context.skip(
                    "no messages"
                    if "messages" not in row
                    else "messages is not a list with at least one message"
                ),
            ]
        try:
            return [*done, *conversation_calls(row[name], context, row=row, seen=self._seen)]
        except Unreadable as why:
            return [*done, context.skip(str(why))]

    def finish(self) -> Sequence[Call | Skip]:
        context, messages = self._context, self._messages
        self._context, self._messages = None, []
        if context is None:
            return []
        try:
            return conversation_calls(messages, context)
        except Unreadable as why:
            return [context.skip(str(why))]
