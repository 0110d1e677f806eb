"""Importer of batches of OpenAI and Anthropic: the requests and the results are files of their own, joined by
custom_id."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, parse_alone
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.stages.collect.importers.side_fields import number, status_of_error
from deputize.wire.json_fields import mapping

MAX_WAITING = 500_000


class BatchImporter:
    """Lines with a custom_id: a request (`body` or `params`) or a result (`response` or `result`)."""

    name = "batch"
    description = "OpenAI Batch and Anthropic Message Batches: give the request and the result files together"
    marks = frozenset(("custom_id",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return "custom_id" in row and any(
            key in row for key in ("body", "params", "response", "result", "error")
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _BatchJoiner:
        return _BatchJoiner()


class _BatchJoiner:
    def __init__(self) -> None:
        self._requests: dict[str, tuple[ImportContext, bytes]] = {}
        self._results: dict[str, tuple[ImportContext, bytes]] = {}

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        name = str(row.get("custom_id"))
        is_request = (
            isinstance(row.get("body") or row.get("params"), dict)
            and "response" not in row
            and "result" not in row
        )
        if (
            is_request
            and isinstance(row.get("url"), str)
            and not row["url"].endswith(("completions", "responses", "messages"))
        ):
            return [context.no_call("no chat call (an embedding, an image or the like)")]
        mine, others = (self._requests, self._results) if is_request else (self._results, self._requests)
        other = others.pop(name, None)
        if other is None:
            if name in mine or len(mine) >= MAX_WAITING:
                return [context.skip("a custom_id that was used before, with no counterpart so far")]
            mine[name] = (context, zlib.compress(msgspec.json.encode(row), 1))
            return []
        found: dict[str, Any] = msgspec.json.decode(zlib.decompress(other[1]))
        return _join(name, row, found, context) if is_request else _join(name, found, row, context)

    def finish(self) -> Sequence[Call | Skip]:
        left: list[Call | Skip] = [
            context.skip("a batch request without its result; give the result file too")
            for context, _ in self._requests.values()
        ]
        left += [
            context.skip("a batch result without its request; give the request file too")
            for context, _ in self._results.values()
        ]
        self._requests, self._results = {}, {}
        return left


def _join(
    name: str, request: dict[str, Any], result: dict[str, Any], context: ImportContext
) -> list[Call | Skip]:
    body = request.get("body") or request.get("params")
    response, status = _response(result)
    known = KnownFields(id=name, status=status)
    row = {"metadata": request["metadata"]} if isinstance(request.get("metadata"), dict) else {}
    try:
        found = exchange_calls(row, body, response, context, known)
    except Unreadable as why:
        return [context.skip(str(why))]
    return [found] if isinstance(found, Call | Skip) else found


def _response(result: dict[str, Any]) -> tuple[Any, int]:
    """(answer, HTTP status) of a line of results."""
    anthropic = mapping(result.get("result"))
    if anthropic is not None:
        if anthropic.get("type") == "succeeded":
            return anthropic.get("message"), 200
        return None, status_of_error(anthropic.get("error") or anthropic.get("type"))
    response = mapping(result.get("response")) or {}
    code = number(response.get("status_code"))
    if code is not None and code >= 400:
        return None, int(code)
    if result.get("error"):
        return None, status_of_error(result["error"])
    return response.get("body"), 200
