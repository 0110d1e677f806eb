"""Attributes of OpenTelemetry spans and log records, in all the forms in which exporters write them."""

from __future__ import annotations

import base64
from typing import Any

from deputize.stages.collect.importers.embedded_json import structured
from deputize.wire.json_fields import mapping

ATTRIBUTE_MARKS = ("gen_ai.", "llm.", "ai.", "traceloop.", "openinference.", "langfuse.")
"""How the names of attributes of LLM calls begin."""


def plain_value(value: Any) -> Any:
    """A value of OTLP (`{"stringValue": "x"}` and the like) as plain JSON."""
    if not isinstance(value, dict):
        return value
    for name in ("stringValue", "string_value", "boolValue", "bool_value"):
        if name in value:
            return value[name]
    for name in ("intValue", "int_value"):
        if name in value:
            try:
                return int(value[name])
            except (TypeError, ValueError):
                return value[name]
    for name in ("doubleValue", "double_value"):
        if name in value:
            return value[name]
    for name in ("arrayValue", "array_value"):
        held = mapping(value.get(name))
        if held is not None:
            items = held.get("values")
            return [plain_value(item) for item in items] if isinstance(items, list) else []
    for name in ("kvlistValue", "kvlist_value"):
        held = mapping(value.get(name))
        if held is not None:
            return plain_attributes(held.get("values"))
    for name in ("bytesValue", "bytes_value"):
        if isinstance(value.get(name), str):
            try:
                return base64.b64decode(value[name]).decode("utf-8", "replace")
            except ValueError:
                return value[name]
    return value


def plain_attributes(raw: Any) -> dict[str, Any]:
    """Attributes as one flat object: from OTLP's list of keys and values, from an object, or from the JSON text of
    one."""
    raw = structured(raw)
    if isinstance(raw, list):
        return {
            a["key"]: plain_value(a.get("value"))
            for a in raw
            if isinstance(a, dict) and isinstance(a.get("key"), str)
        }
    return raw if isinstance(raw, dict) else {}


def record_attributes(row: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span or log record: under `attributes`, in columns `attributes.NAME`, or in the row
    itself."""
    found = plain_attributes(row.get("attributes"))
    if not found:
        found = plain_attributes(
            row.get("span_attributes") or row.get("SpanAttributes") or row.get("LogAttributes")
        )
    if not found and isinstance(row.get("tags"), list):
        found = plain_attributes(row["tags"])  # Jaeger
    columns = {
        k.removeprefix("attributes."): v
        for k, v in row.items()
        if k.startswith("attributes.") and v is not None
    }
    if not found and not columns:
        return {k: v for k, v in row.items() if k.startswith(ATTRIBUTE_MARKS) and v is not None}
    return {**found, **columns} if columns else found


def flattened(attributes: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The nested objects under a prefix (Phoenix writes `llm: {token_count: {prompt: 3}}`) as attributes with dots."""
    held = attributes.get(prefix)
    if not isinstance(held, dict):
        return {}
    out: dict[str, Any] = {}
    for key, value in held.items():
        name = f"{prefix}.{key}"
        if isinstance(value, dict) and not key.endswith(("messages", "tools", "parameters")):
            out |= {name: value} | flattened({name: value}, name)
        else:
            out[name] = value
    return out


def nested(attributes: dict[str, Any], prefix: str) -> Any:
    """The attributes below a prefix as lists and objects: `p.0.role` and `p.0.content` become one item of a list."""
    if prefix in attributes:
        return structured(attributes[prefix])
    root: dict[str, Any] = {}
    start = f"{prefix}."
    for name, value in attributes.items():
        if not name.startswith(start):
            continue
        steps = name[len(start) :].split(".")
        held = root
        for step in steps[:-1]:
            inner = held.setdefault(step, {})
            if not isinstance(inner, dict):
                break
            held = inner
        else:
            held[steps[-1]] = value
    return _as_lists(root) if root else None


def _as_lists(value: Any) -> Any:
    """Objects whose keys are 0, 1, 2, ... as lists."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_as_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _as_lists(held) for key, held in value.items()}


def identity(row: dict[str, Any]) -> tuple[str, str]:
    """(trace id, span id) of a span or log record; "" where it has none."""
    context = mapping(structured(row.get("context"))) or {}
    places = (row, context)
    trace = next(
        (
            p[k]
            for p in places
            for k in ("traceId", "trace_id", "context.trace_id", "TraceId", "traceID")
            if isinstance(p.get(k), str)
        ),
        "",
    )
    span = next(
        (
            p[k]
            for p in places
            for k in ("spanId", "span_id", "context.span_id", "SpanId", "spanID")
            if isinstance(p.get(k), str)
        ),
        "",
    )
    return trace, span


def service_of(around: dict[str, Any], row: dict[str, Any]) -> str:
    """The name of the service that wrote a record; "" where nobody said."""
    for holder in (
        around.get("resource"),
        structured(row.get("resource")),
        row.get("ResourceAttributes"),
        row.get("otel_resource_attributes"),
    ):
        held = mapping(structured(holder)) or {}
        attributes = plain_attributes(held.get("attributes")) or held
        name = attributes.get("service.name")
        if isinstance(name, str) and name and not name.startswith("unknown_service"):
            return name
    name = row.get("service_name") or row.get("ServiceName")
    return name if isinstance(name, str) else ""
