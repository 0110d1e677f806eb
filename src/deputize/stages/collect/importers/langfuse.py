"""Importer of Langfuse: observations of the API, the blob export and the UI's tables, and whole traces.

References:
    Langfuse, "Blob storage export" and API reference, "Observations" and "Traces".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Outcome
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, as_list, parse_alone
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
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
    """Observations of type GENERATION, alone, in the trace that they belong to, or in a file next to traces and
    scores."""

    name = "langfuse"
    description = "Langfuse: observations (API, blob export, UI as JSON or CSV) with traces and scores, downloaded traces"
    marks = frozenset(("traceId", "trace_id", "observations", "data_type", "bookmarked", "public"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if _is_observation(row) or _is_trace(row) or _is_score(row):
            return True
        held = row.get("observations")
        return (
            isinstance(held, list)
            and bool(held)
            and all(isinstance(o, dict) and _is_observation(o) for o in held)
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _TraceJoiner:
        return _TraceJoiner()


def _is_trace(row: dict[str, Any]) -> bool:
    """Check for a row of the export's folder of traces."""
    has_flags = "bookmarked" in row or "public" in row
    return has_flags and "id" in row and ("session_id" in row or "sessionId" in row) and "messages" not in row


def _is_score(row: dict[str, Any]) -> bool:
    names = "traceId" in row or "trace_id" in row
    return names and "name" in row and "value" in row and ("dataType" in row or "data_type" in row)


class _TraceJoiner:
    """Keeps sessions, users and scores of traces for the observations that follow; such files are read first."""

    MAX_TRACES = 2_000_000

    def __init__(self) -> None:
        self._traces: dict[str, tuple[str, str, str]] = {}
        self._scores: dict[str, Outcome | None] = {}

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        observations = row.get("observations")
        if isinstance(observations, list) and observations and not _is_observation(row):
            outcome = _outcome_of_scores(row.get("scores"))
            trace = {k: v for k, v in row.items() if isinstance(v, str | int | float)}
            return [
                item
                for observation in observations
                for item in (
                    as_list(_read(observation, trace, context, outcome))
                    if isinstance(observation, dict)
                    else [context.skip("an observation that is no object")]
                )
            ]
        if _is_observation(row):
            name = side.text((row,), ("traceId", "trace_id"))
            kept = self._traces.get(name)
            trace = context.around
            if kept is not None:
                trace = {"sessionId": kept[0], "userId": kept[1], "traceName": kept[2], **trace}
            outcome = self._scores.get(side.text((row,), ("id",))) or self._scores.get(name)
            return as_list(_read(row, trace, context, outcome))
        if _is_score(row):
            self._add_score(row)
            return [context.no_call("a score, which goes to the calls of its trace")]
        if _is_trace(row):
            if len(self._traces) < self.MAX_TRACES:
                fields = (("sessionId", "session_id"), ("userId", "user_id"), ("name",))
                session, user, name = (side.text((row,), keys) for keys in fields)
                self._traces[side.text((row,), ("id",))] = (session, user, name)
            return [context.no_call("a trace, whose session and user go to its calls")]
        return [context.skip("no observation")]

    def _add_score(self, row: dict[str, Any]) -> None:
        """Keeps the outcome where a trace or an observation has one score; of several nobody said which one counts."""
        about = side.text((row,), ("observationId", "observation_id")) or side.text(
            (row,), ("traceId", "trace_id")
        )
        if about in self._scores:
            self._scores[about] = None
        elif len(self._scores) < self.MAX_TRACES:
            self._scores[about] = _outcome_of_scores([row])

    def finish(self) -> Sequence[Call | Skip]:
        return []


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
    known = KnownFields(
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
