"""Importer of Langfuse: observations of the API, the blob export and the UI's tables, and whole traces.

References:
    Langfuse, "Blob storage export" and API reference, "Observations" and "Traces".
"""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Outcome
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_forms import protocol_of
from deputize.stages.collect.importers.recorded_exchange import Known, exchange_calls
from deputize.wire.json_fields import mapping

_TYPES = frozenset(
    {
        "GENERATION",
        "SPAN",
        "EVENT",
        "AGENT",
        "TOOL",
        "CHAIN",
        "RETRIEVER",
        "EVALUATOR",
        "EMBEDDING",
        "GUARDRAIL",
    }
)


def _is_observation(row: dict[str, Any]) -> bool:
    return (
        row.get("type") in _TYPES and ("traceId" in row or "trace_id" in row)
        if isinstance(row.get("type"), str)
        else False
    )


class LangfuseImporter:
    """Observations of type GENERATION, alone or in the trace that they belong to."""

    name = "langfuse"
    description = "Langfuse: observations (API, blob export, UI as JSON or CSV), downloaded traces"
    marks = frozenset(("traceId", "trace_id", "observations", "data_type"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if _is_observation(row):
            return True
        held = row.get("observations")
        if isinstance(held, list) and held:
            return all(isinstance(o, dict) and _is_observation(o) for o in held)
        is_score = (("traceId" in row or "trace_id" in row) and "dataType" in row) or (
            "data_type" in row and "value" in row
        )
        return bool(is_score) and "name" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        observations = row.get("observations")
        if isinstance(observations, list) and observations and not _is_observation(row):
            outcome = _outcome_of_scores(row.get("scores"))
            trace = {k: v for k, v in row.items() if isinstance(v, str | int | float)}
            out: list[Call | Skip] = []
            for observation in observations:
                found = (
                    _read(observation, trace, context, outcome)
                    if isinstance(observation, dict)
                    else context.skip("an observation that is no object")
                )
                out += found if isinstance(found, list) else [found]
            return out
        if not _is_observation(row):
            return (
                context.no_call("a score, which is read in the trace that it belongs to")
                if "value" in row
                else context.skip("no observation")
            )
        return _read(row, context.around, context, None)


def _outcome_of_scores(scores: Any) -> Outcome | None:
    """The outcome where a trace has one score."""
    held = [s for s in scores if isinstance(s, dict)] if isinstance(scores, list) else []
    if len(held) != 1:
        return None
    found = side.outcome_of(held[0].get("value"))
    name = held[0].get("name")
    return (
        Outcome(reward=found.reward, success=found.success, metric=name if isinstance(name, str) else "")
        if found
        else None
    )


def _read(
    row: dict[str, Any], trace: dict[str, Any], context: ImportContext, outcome: Outcome | None
) -> Call | Skip | list[Call | Skip]:
    if row.get("type") != "GENERATION":
        return context.no_call("an observation that is no generation")
    places = (row, trace)
    request = _request(row)
    response = structured(row.get("output"))
    if isinstance(response, str) and not response:
        response = None
    calls = structured(row.get("tool_calls"))
    if isinstance(response, str) and isinstance(calls, list) and calls and "tool_calls" not in response:
        response = {"role": "assistant", "content": response, "tool_calls": calls}
    latency = side.number(row.get("latency"))
    first = side.number(
        row.get("timeToFirstToken")
        if row.get("timeToFirstToken") is not None
        else row.get("time_to_first_token")
    )
    is_error = str(row.get("level") or "").upper() == "ERROR"
    known = Known(
        id=side.text((row,), ("id",)),
        agent=side.text((row, trace), ("traceName", "trace_name")) or None,
        site=side.text((row,), ("promptName", "prompt_name")),
        episode=side.text(places, ("sessionId", "session_id"))
        or side.text(places, ("traceId", "trace_id"))
        or None,
        user=side.text(places, ("userId", "user_id")) or None,
        model=side.text((row,), ("provided_model_name", "providedModelName", "model", "internalModelId"))
        or None,
        params=mapping(structured(row.get("model_parameters") or row.get("modelParameters"))),
        tools=row.get("tool_definitions") or row.get("toolDefinitions") or None,
        usage=side.usage_of(structured(row.get("usageDetails") or row.get("usage_details")))
        or side.usage_of(structured(row.get("usage")))
        or side.row_usage(row),
        outcome=outcome,
        latency_ms=None if latency is None else round(latency * 1000, 3),
        ttft_ms=None if first is None else round(first * 1000, 3),
        cost_usd=_cost(row),
        status=side.status_of_error(row.get("statusMessage") or row.get("status_message"))
        if is_error
        else 200,
    )
    try:
        return exchange_calls(row, request, response, context, known)
    except Unreadable as why:
        return context.skip(str(why))


def _cost(row: dict[str, Any]) -> float | None:
    details = mapping(structured(row.get("costDetails") or row.get("cost_details"))) or {}
    names = ("totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost")
    return (
        side.first_number((row,), names)
        if side.first_number((row,), names) is not None
        else side.first_number((details,), ("total",))
    )


def _request(row: dict[str, Any]) -> Any:
    """The request in `input`: a body, a list of messages, or text; LangChain's tool definitions among the messages."""
    given = structured(row.get("input"))
    if isinstance(given, dict) and protocol_of(given):
        return given
    messages = given.get("messages") if isinstance(given, dict) else given
    if isinstance(messages, list):
        tools = [m["content"] for m in messages if _is_definition(m)]
        kept = [m for m in messages if not _is_definition(m)]
        return {"messages": kept, "tools": tools} if tools else {"messages": kept}
    return {"messages": given} if isinstance(given, str | dict) else {"messages": []}


def _is_definition(message: Any) -> bool:
    """Check for a tool's definition, which the LangChain integration appends as a message of role tool."""
    content = message.get("content") if isinstance(message, dict) and message.get("role") == "tool" else None
    return isinstance(content, dict) and (
        content.get("type") == "function" or "parameters" in content or "input_schema" in content
    )
