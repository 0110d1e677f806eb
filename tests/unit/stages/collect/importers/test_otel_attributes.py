"""Attributes in all forms."""

from __future__ import annotations

from deputize.stages.collect.importers.otel_attributes import (
    flattened,
    identity,
    nested,
    plain_attributes,
    plain_value,
    record_attributes,
    service_of,
)


def test_values_of_otlp_become_plain() -> None:
    raw = {
        "kvlistValue": {
            "values": [
                {"key": "a", "value": {"arrayValue": {"values": [{"intValue": "3"}, {"boolValue": True}]}}}
            ]
        }
    }
    assert plain_value(raw) == {"a": [3, True]}
    assert (
        plain_value({"doubleValue": 0.5}) == 0.5
        and plain_value({"bytesValue": "aGk="}) == "hi"
        and plain_value("x") == "x"
    )
    assert plain_attributes('{"a": 1}') == {"a": 1} and plain_attributes(3) == {}


def test_attributes_are_found_in_columns_and_read_as_lists() -> None:
    assert record_attributes({"attributes.llm.x": 1, "attributes.y": None, "z": 2}) == {"llm.x": 1}
    flat = {"p.0.role": "user", "p.1.calls.0.id": "t", "p.10.role": "x", "q": "[1]"}
    assert nested(flat, "p") == [{"role": "user"}, {"calls": [{"id": "t"}]}, {"role": "x"}]
    assert nested(flat, "q") == [1] and nested(flat, "none") is None
    assert (
        flattened({"llm": {"token_count": {"prompt": 3}, "input_messages": [1]}}, "llm")[
            "llm.token_count.prompt"
        ]
        == 3
    )


def test_ids_and_the_service() -> None:
    assert (
        identity({"context": {"trace_id": "t", "span_id": "s"}})
        == identity({"traceId": "t", "spanId": "s"})
        == ("t", "s")
    )
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "desk"}}]}
    assert service_of({"resource": resource}, {}) == "desk"
    assert service_of({}, {"resource": {"attributes": {"service.name": "unknown_service:python"}}}) == ""


def test_attributes_may_be_the_columns_of_a_table() -> None:
    assert record_attributes({"gen_ai.prompt.0.role": "user", "span_id": "s"}) == {
        "gen_ai.prompt.0.role": "user"
    }
