"""Importer of requests and responses: bodies of OpenAI, Anthropic, Gemini or Bedrock under any of the usual names."""

from __future__ import annotations

from typing import Any

from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping

_MAY_BE_MESSAGES = frozenset({"input", "inputs", "input_data"})


def body_of(value: Any) -> Any:
    """The body in a field of a log, which may be JSON as text, and may stand under `body`."""
    value = structured(value)
    if isinstance(value, list) and len(value) == 1:
        value = structured(value[0])
    inner = structured(value.get("body")) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else value


def find_exchange(row: dict[str, Any]) -> tuple[dict[str, Any], Any, Any] | None:
    """(the object that holds them, request, response) under the names of the one table; None where there are none."""
    holders = [row, *(h for name in names.HOLDERS if (h := mapping(structured(row.get(name)))) is not None)]
    gateway = mapping(row.get("ai")) or {}  # Kong
    holders += [h for p in gateway.values() if (h := mapping((mapping(p) or {}).get("payload"))) is not None]
    for holder in holders:
        for asked, answered in names.REQUEST_AND_RESPONSE:
            if asked not in holder:
                continue
            body = body_of(holder[asked])
            if isinstance(body, dict) and protocol_of(body):
                response = holder.get(answered)
                return holder, body if asked.endswith("payload") else holder[asked], response
            if asked in _MAY_BE_MESSAGES and _is_messages(body) and answered in holder:
                return holder, {"messages": body}, holder[answered]
    return None


def _is_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in value)
    )


class ExchangeImporter:
    """{"request": ..., "response": ...} and the same under other names, each with or without "body"."""

    name = "openai"
    description = "request and response logs of OpenAI, Anthropic, Gemini or Bedrock bodies, streams too"
    marks = frozenset({*(asked for asked, _ in names.REQUEST_AND_RESPONSE), *names.HOLDERS, "ai"})

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("request"), dict) or find_exchange(row) is not None

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        try:
            found = find_exchange(row)
            if found is None:
                if isinstance(row.get("request"), dict):
                    return context.skip("the request is no chat request" if row["request"] else "no messages")
                return context.skip("no messages")
            holder, request, response = found
            if isinstance(response, list) and "predict_time" in (mapping(row.get("metrics")) or {}):
                response = "".join(piece for piece in response if isinstance(piece, str))  # Replicate
            if response is None and not any(row.get(k) for k in (*names.ERROR, *names.STATUS)):
                return context.skip("a request without its response")
            return exchange_calls(
                row if holder is row else {**row, **holder}, request, response, context, _known(row, holder)
            )
        except Unreadable as why:
            return context.skip(str(why))


def _known(row: dict[str, Any], holder: dict[str, Any]) -> KnownFields:
    """Settings and tools next to a list of messages."""
    metadata = mapping(structured(row.get("metadata"))) or {}
    config = mapping(structured(holder.get("model_config"))) or {}
    tools = row.get("tools") or metadata.get("tools") or config.get("tools")
    model = metadata.get("model") if not isinstance(holder.get("model"), str) else holder["model"]
    return KnownFields(
        tools=tools if isinstance(tools, list) else None,
        response_format=metadata.get("response_format") or config.get("response_format"),
        tool_choice=config.get("tool_choice"),
        params={k: v for k, v in config.items() if isinstance(v, bool | int | float)} or None,
        model=model
        if isinstance(model, str) and "messages" not in holder and "request" not in holder
        else None,
    )
