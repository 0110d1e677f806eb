"""Records inside wrappers: answers of APIs, Elasticsearch, OTLP, HAR, and the envelopes of log collectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from deputize.stages.collect.containers.json_stream import decode_line
from deputize.wire.json_fields import mapping

Record: TypeAlias = "tuple[dict[str, Any], dict[str, Any]]"
"""(record, fields of what it is in)."""

_LISTS = (
    "data", "items", "rows", "records", "results", "calls", "logs", "traces", "observations", "runs", "events", "spans",
    "llms", "generations", "entries", "value", "values", "samples", "result", "responses", "conversations", "tables",
    "logEvents", "interactions", "hits", "list", "sessions", "documents",
)  # fmt: skip
_TEXTS = (
    "log",
    "value",
    "@message",
    "message",
    "msg",
    "line",
    "_raw",
    "MESSAGE",
    "raw",
    "body",
    "textPayload",
    "content",
)
"""Fields in which collectors keep the line of a program that logs JSON."""
_OBJECTS = (
    "_source",
    "jsonPayload",
    "json",
    "event",
    "record",
    "fields",
    "result",
    "doc",
    "document",
    "trace",
    "payload",
    "attributes",
    "hits",
    "data",
    "log",
    "value",
)


_OTLP = frozenset({"resourceSpans", "resource_spans", "resourceLogs", "resource_logs", "batches"})


def unwrapped(row: dict[str, Any]) -> Iterator[Record]:
    """The records in an object that is none itself; none where it is no wrapper that is known."""
    if not _OTLP.isdisjoint(row):
        yield from _otlp(row)
        return
    around = {
        k: v
        for k, v in row.items()
        if isinstance(v, str | int | float) or k in ("resource", "scope", "metadata")
    }
    for name in _LISTS:
        records = row.get(name)
        if isinstance(records, list) and records:
            if all(isinstance(r, list) for r in records) and (table := list(_table(row, records))):
                yield from ((record, around) for record in table)
                return
            inner = [r for r in records if isinstance(r, dict)]
            if inner:
                yield from ((record, around) for record in inner)
                return
            if name in ("values", "logEvents") and all(isinstance(r, list) and len(r) == 2 for r in records):
                yield from ((value, around) for r in records for value in _objects_in(r[1]))  # Loki
                return
    for name in _OBJECTS:
        held = row.get(name)
        if isinstance(held, dict) and held:
            yield held, around
            return
    for name in _TEXTS:
        text = row.get(name)
        if isinstance(text, str) and "{" in text:
            found = list(_objects_in(text))
            if found:
                yield from ((value, around) for value in found)
                return


def _table(row: dict[str, Any], records: list[list[Any]]) -> Iterator[dict[str, Any]]:
    """Rows that stand as lists: beside the names of their columns (Log Analytics), or as fields and values (CloudWatch
    Insights)."""
    columns = row.get("columns")
    if isinstance(columns, list) and columns:
        given = [c.get("name") if isinstance(c, dict) else c for c in columns]
        names = [name for name in given if isinstance(name, str)]
        if len(names) == len(columns):
            yield from (dict(zip(names, record, strict=False)) for record in records)
    elif all(isinstance(f, dict) and "field" in f and "value" in f for record in records for f in record):
        yield from ({str(f["field"]): f["value"] for f in record} for record in records)


MAX_LOOKED_AT = 20


def unnamed_records(row: dict[str, Any], is_known: Callable[[dict[str, Any]], bool]) -> list[Record]:
    """The records under names that nobody foresaw: in the one field, or the values of a map, of which the first ones
    are known."""
    candidates = [
        [v for v in value if isinstance(v, dict)] for value in row.values() if isinstance(value, list)
    ]
    values = [v for v in row.values() if isinstance(v, dict)]
    candidates.append(values if len(values) == len(row) > 1 else [])
    for records in candidates:
        first = records[:MAX_LOOKED_AT]
        # messages are a conversation only where their whole list is one
        if any(is_known(record) for record in first) and not any("role" in record for record in first):
            return [(record, {}) for record in records]
    return []


def _objects_in(text: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(text, str) or "{" not in text:
        return
    for value, _ in decode_line(text.strip().encode("utf-8", "replace")):
        if isinstance(value, dict):
            yield value


def _otlp(row: dict[str, Any]) -> Iterator[Record]:
    """Spans and log records of an OTLP request, each with the attributes of its resource and the name of its scope."""
    for outer, inner, leaf in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("batches", "scopeSpans", "spans"),  # Tempo
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        for resource in _dicts(row, outer):
            for scope in _dicts(resource, inner) or _dicts(resource, "instrumentationLibrarySpans"):
                around = {
                    "resource": mapping(resource.get("resource")) or {},
                    "scope": mapping(scope.get("scope")) or {},
                }
                for record in _dicts(scope, leaf):
                    yield record, around


def _dicts(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    values = holder.get(name) if name in holder else holder.get(snake)
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []
