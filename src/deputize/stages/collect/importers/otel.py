"""Importer of OpenTelemetry: spans and events of LLM calls in the dialects of GenAI, OpenLLMetry, Vercel and
OpenInference.

References:
    OpenTelemetry semantic conventions, "Generative AI" (attributes from 1.37 on, events before).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers import otel_dialects as dialects
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, parse_alone
from deputize.stages.collect.importers.conversation_turns import conversation_calls
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.otel_attributes import (
    ATTRIBUTE_MARKS,
    identity,
    plain_value,
    record_attributes,
    service_of,
)
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.stages.collect.importers.side_fields import number, status_of_error
from deputize.wire.json_fields import mapping

_MAX_WAITING = 200_000
_MAX_OBJECTS = 2_000
"""Calls that are kept whole until the span around them comes, which ends right after them."""
_MESSAGE_FIELDS = ("gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages", "llm.output_messages")
_TIME_FIELDS = (
    "startTimeUnixNano",
    "endTimeUnixNano",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "start_time",
    "end_time",
    "start_timestamp",
    "end_timestamp",
    "timeUnixNano",
    "duration",
)


class OtelImporter:
    """Spans with the attributes of an LLM call, or with events that hold its messages, joined by the id of the span."""

    name = "otel"
    description = "OpenTelemetry (OTLP as JSON or protobuf, SDK dumps, Jaeger, Tempo): GenAI attributes and events, OpenLLMetry, Vercel AI SDK, OpenInference"
    marks = frozenset(
        (
            "spanId",
            "span_id",
            "context",
            "context.span_id",
            "SpanId",
            "trace_id",
            "eventName",
            "event_name",
            "event.name",
            "timeUnixNano",
            "spanID",
            "body",
        )
    )

    def sniff(self, row: dict[str, Any]) -> bool:
        if _event_name(row).startswith("gen_ai."):
            return True
        trace, span = identity(row)
        if (
            not span
            and trace
            and {"all_messages_events", "pydantic_ai.all_messages"} & record_attributes(row).keys()
        ):
            return True
        if not (trace and span):
            return False
        is_span = any(
            k in row
            for k in (
                "startTimeUnixNano",
                "start_time_unix_nano",
                "start_time",
                "start_timestamp",
                "startTime",
                "Timestamp",
            )
        )
        attributes = record_attributes(row)
        has_marks = any(name.startswith(ATTRIBUTE_MARKS) for name in attributes) or any(
            m[:-1] in attributes for m in ATTRIBUTE_MARKS
        )
        if "all_messages_events" in attributes or "pydantic_ai.all_messages" in attributes:
            return True
        is_otlp = "startTimeUnixNano" in row or "timeUnixNano" in row or "context.span_id" in row
        return (
            is_span
            and (has_marks or is_otlp)
            and "request_data" not in attributes
            and "mlflow.spanInputs" not in attributes
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _SpanJoiner:
        return _SpanJoiner()


@dataclass(slots=True)
class _Waiting:
    """A call of which a part is still to come."""

    context: ImportContext
    span: bytes = b""
    events: list[bytes] = field(default_factory=list)


class _SpanJoiner:
    """Joins the events of a call with its span; a span that holds all of its call needs no other."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._schemas: dict[tuple[str, str], dict[str, Any]] = {}
        """Answer formats by the span that has them: Vercel's outer span of an object has the schema, the inner one the
        call."""
        self._without_schema: dict[tuple[str, str], list[Call]] = {}

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        name = _event_name(row)
        if name.startswith("gen_ai.") and "startTimeUnixNano" not in row:
            return self._add_event(name, row, context)
        attributes = record_attributes(row)
        try:
            found = dialects.read_attributes(row, attributes)
        except Unreadable as why:
            return [context.skip(str(why))]
        if found is None:
            history = structured(
                attributes.get("pydantic_ai.all_messages") or attributes.get("all_messages_events")
            )
            if isinstance(history, list):
                return _conversation(row, attributes, history, context)
            if not dialects.is_llm_span(attributes):
                return [context.no_call("a span that is no LLM call")]
            events = _span_events(row)
            if not events:
                return self._wait(row, context)
            found = dialects.read_events(events, attributes)
        if isinstance(found, str):
            wanted = dialects.schema_of_object(attributes)
            held = self._add_schema(identity(row), wanted) if wanted is not None else []
            return [*held, context.no_call(found)]
        call = _call(row, attributes, found, context)
        return self._held_for_schema(row, call) if dialects.lacks_schema(attributes) else [call]

    def _add_schema(self, key: tuple[str, str], wanted: dict[str, Any]) -> list[Call]:
        """The calls that waited for the answer format of a span."""
        if len(self._schemas) < _MAX_WAITING:
            self._schemas[key] = wanted
        held = self._without_schema.pop(key, [])
        return [msgspec.structs.replace(call, response_format=wanted) for call in held]

    def _held_for_schema(self, row: dict[str, Any], call: Call | Skip) -> Sequence[Call | Skip]:
        """A call with the answer format of the span around it; none yet where that has not come."""
        parent = row.get("parentSpanId") or row.get("parent_span_id") or row.get("parent_id")
        if isinstance(call, Skip) or not isinstance(parent, str) or not parent:
            return [call]
        key = identity(row)[0], parent
        if key in self._schemas:
            return [msgspec.structs.replace(call, response_format=self._schemas[key])]
        if len(self._without_schema) >= _MAX_OBJECTS:
            return [call]
        self._without_schema.setdefault(key, []).append(call)
        return []

    def _wait(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        key = identity(row)
        waiting = self._waiting.get(key)
        if waiting is None and len(self._waiting) >= _MAX_WAITING:
            return [context.skip("a span whose events are not near it in the log")]
        waiting = self._waiting.setdefault(key, _Waiting(context))
        waiting.context, waiting.span = context, _packed(row)
        return []

    def _add_event(self, name: str, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        attributes = record_attributes(row)
        if name == "gen_ai.client.inference.operation.details":
            body = plain_value(row.get("body"))
            found = _read_or_reason(row, {**(body if isinstance(body, dict) else {}), **attributes})
            if found is None or isinstance(found, str):
                return [context.no_call("an event without the messages of its call")]
            return [_call(row, attributes, found, context)]
        key = identity(row)
        if not all(key):
            return [context.skip("an event that does not say which call it belongs to")]
        if key not in self._waiting and len(self._waiting) >= _MAX_WAITING:
            return [context.skip("an event whose call is not near it in the log")]
        waiting = self._waiting.setdefault(key, _Waiting(context))
        waiting.events.append(_packed({**row, "_name": name}))
        return []

    def finish(self) -> Sequence[Call | Skip]:
        out: list[Call | Skip] = [call for calls in self._without_schema.values() for call in calls]
        self._without_schema = {}
        for waiting in self._waiting.values():
            span = _unpacked(waiting.span) if waiting.span else {}
            events = [_unpacked(event) for event in waiting.events]
            attributes = record_attributes(span) if span else {}
            if not events:
                out.append(
                    waiting.context.skip(
                        "an LLM call whose messages were not recorded (capturing content was off)"
                    )
                )
                continue
            first = events[0]
            found = dialects.read_events([(e["_name"], _event_body(e)) for e in events], attributes)
            if isinstance(found, str):
                out.append(waiting.context.skip(found))
            else:
                out.append(
                    _call(span or first, attributes or record_attributes(first), found, waiting.context)
                )
        self._waiting = {}
        return out


def _read_or_reason(row: dict[str, Any], attributes: dict[str, Any]) -> dialects.SpanCall | str | None:
    try:
        return dialects.read_attributes(row, attributes)
    except Unreadable as why:
        return str(why)


def _packed(row: dict[str, Any]) -> bytes:
    return zlib.compress(msgspec.json.encode(row), 1)


def _unpacked(data: bytes) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.json.decode(zlib.decompress(data))
    return row


def _event_name(row: dict[str, Any]) -> str:
    name = row.get("eventName") or row.get("event_name") or row.get("event.name")
    if not isinstance(name, str) and ("body" in row or "timeUnixNano" in row):
        name = record_attributes(row).get("event.name")
    return name if isinstance(name, str) else ""


def _event_body(row: dict[str, Any]) -> dict[str, Any]:
    body = structured(plain_value(row.get("body")))
    if isinstance(body, dict) and body:
        return body
    attributes = record_attributes(row)
    return (
        {k.removeprefix("gen_ai.event."): structured(v) for k, v in attributes.items()}
        if not isinstance(body, str)
        else {"content": body}
    )


def _span_events(row: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(name, body) of the events that a span holds itself."""
    events = structured(row.get("events"))
    out = []
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and str(event.get("name") or "").startswith("gen_ai."):
            out.append((str(event["name"]), {k: structured(v) for k, v in record_attributes(event).items()}))
    return out


def _conversation(
    row: dict[str, Any], attributes: dict[str, Any], history: list[Any], context: ImportContext
) -> list[Call | Skip]:
    """The calls of an agent's run, which some frameworks keep as one list of messages."""
    trace, span = identity(row)
    agent = (
        attributes.get("agent_name") or attributes.get("gen_ai.agent.name") or service_of(context.around, row)
    )
    model = attributes.get("model_name") or attributes.get("gen_ai.request.model")
    known = KnownFields(
        id=span or trace,
        agent=agent if isinstance(agent, str) and agent else None,
        episode=dialects.session_of(attributes) or trace,
        model=model if isinstance(model, str) else None,
    )
    messages = [
        {k: v for k, v in m.items() if not k.startswith(("gen_ai.", "event."))} if isinstance(m, dict) else m
        for m in history
    ]
    try:
        return conversation_calls(
            messages, context, row={k: v for k, v in row.items() if k != "attributes"}, known=known
        )
    except Unreadable as why:
        return [context.skip(str(why))]


_UNNAMED = 500
"""`status_of_error` of words that name no status."""


def _call(
    row: dict[str, Any], attributes: dict[str, Any], found: dialects.SpanCall, context: ImportContext
) -> Call | Skip:
    trace, span = identity(row)
    status = mapping(row.get("status")) or {}
    failed = (
        status.get("code") in (2, "STATUS_CODE_ERROR", "ERROR")
        or status.get("status_code") == "ERROR"
        or row.get("status_code") == "ERROR"
    )
    fields: dict[str, Any] = {k: v for k, v in attributes.items() if not k.startswith(_MESSAGE_FIELDS)}
    fields |= {k: row[k] for k in _TIME_FIELDS if k in row}
    if "timeUnixNano" in fields:
        fields.setdefault("startTimeUnixNano", fields["timeUnixNano"])
    if "spanID" in row:  # Jaeger counts microseconds
        start, duration = number(row.get("startTime")), number(row.get("duration"))
        fields |= {"start_time": start, "latency_ms": duration / 1000 if duration is not None else None}
    code = None
    if failed or attributes.get("error.type"):
        words = (
            attributes.get("http.response.status_code"),
            status.get("message"),
            row.get("status_message"),
            attributes.get("error.type"),
        )
        code = status_of_error(" ".join(str(w) for w in words if w))
        answered = mapping(structured(attributes.get("output.value")))
        if code == _UNNAMED and answered is not None:
            code = status_of_error(answered.get("error"))
    known = KnownFields(
        id=span.removeprefix("0x"),
        agent=service_of(context.around, row) or None,
        episode=dialects.session_of(attributes) or trace.removeprefix("0x"),
        tools=found.tools,
        model=found.model or None,
        params=found.params,
        status=code,
        finish_reason=found.finish_reason or None,
    )
    try:
        call = exchange_calls(fields, found.request, found.response, context, known)
    except Unreadable as why:
        return context.skip(str(why))
    return call if isinstance(call, Call) else call[0]
