"""Records in wrappers."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.stages.collect.importers.wrapped_records import unwrapped

X = {"x": 1}


@pytest.mark.parametrize(
    "row",
    [
        {"data": [X]},
        {"hits": {"hits": [{"_source": X}]}},
        {"_index": "i", "_source": X},
        {"log": '{"x": 1}\n', "stream": "stdout", "time": "t"},
        {"events": [{"message": '{"x": 1}', "timestamp": 1}]},
        {"log": {"version": "1.2", "entries": [X]}},
        {"jsonPayload": X, "insertId": "1"},
        {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [X]}]}]},
        {"resource_logs": [{"scope_logs": [{"log_records": [X]}]}]},
        {"data": {"result": [{"stream": {}, "values": [["1", '{"x": 1}']]}]}},
        {"message": '2025-01-01 INFO {"x": 1}'},
        {"topic": "t", "offset": 1, "value": '{"x": 1}'},
        {"topic": "t", "offset": 1, "value": X},
        {"results": [[{"field": "@message", "value": '{"x": 1}'}]]},
        {"tables": [{"name": "PrimaryResult", "columns": [{"name": "x"}], "rows": [[1]]}]},
    ],
)
def test_wrappers_are_opened_to_their_records(row: dict[str, Any]) -> None:
    found = [row]
    for _ in range(4):
        found = [inner for one in found for inner, _ in unwrapped(one)] if found != [X] else found
    assert found == [X]


def test_fields_around_are_kept_and_other_objects_are_no_wrappers() -> None:
    ((inner, around),) = unwrapped({"sessionId": "s", "observations": [X], "big": {"a": 1}})
    assert inner == X and around == {"sessionId": "s"}
    assert list(unwrapped({"level": "info", "msg": "hello"})) == []
