"""Importer of Deputize's own format: one object a call, {"messages": [...], "response": ...}."""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.chat_exchange import Unreadable, call_from_chat

_RESPONSE_KEYS = ("response", "completion", "output")


def flat_response(row: dict[str, Any]) -> Any:
    """The response in an object that has the request's fields next to it, None where it has none."""
    return next((row[key] for key in _RESPONSE_KEYS if row.get(key) is not None), None)


class CallsImporter:
    """One object a call: `messages`, `response` (text, message or chat completion), and what else is known of it."""

    name = "calls"
    description = 'objects {"messages": [...], "response": ...}, one for each call'

    def sniff(self, row: dict[str, Any]) -> bool:
        return "messages" in row and "request" not in row and flat_response(row) is not None

    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        if "messages" not in row:
            return context.skip("no messages")
        response = flat_response(row)
        if response is None:
            return context.skip("no response")
        try:
            return call_from_chat(row, row, response, context)
        except Unreadable as why:
            return context.skip(str(why))
