"""Importer of OpenAI's chat formats: request and response logs, and lines for fine-tuning."""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.calls import flat_response
from deputize.stages.collect.importers.chat_exchange import Unreadable, call_from_chat


class OpenAiChatImporter:
    """{"request": ..., "response": ...}, each with or without "body"; or {"messages": [..., the assistant's reply]}."""

    name = "openai"
    description = "request and response logs of OpenAI's chat completions, and lines for fine-tuning"

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("request"), dict) or (
            flat_response(row) is None and _trained_reply(row) is not None
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        try:
            request, response = _request_and_response(row)
            return call_from_chat(row, request, response, context)
        except Unreadable as why:
            return context.skip(str(why))


def _request_and_response(row: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """(chat request, response). Raises Unreadable."""
    wrapped = row.get("request")
    if isinstance(wrapped, dict):
        body = wrapped.get("body")
        if "response" not in row:
            raise Unreadable("a request without its response")
        return body if isinstance(body, dict) else wrapped, row["response"]
    if "messages" not in row:
        raise Unreadable("no messages")
    response = flat_response(row)
    if response is not None:
        return row, response
    reply = _trained_reply(row)
    if reply is None:
        raise Unreadable("no response")
    return {**row, "messages": row["messages"][:-1]}, reply


def _trained_reply(row: dict[str, Any]) -> dict[str, Any] | None:
    """The last message where it is the assistant's: the reply that a line for fine-tuning teaches."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return last if isinstance(last, dict) and last.get("role") == "assistant" else None
