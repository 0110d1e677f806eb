"""Records that hold no calls, refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.refused_records import RefusedImporter


@pytest.mark.parametrize(
    ("row", "word", "is_no_call"),
    [
        ({"generation_id": "g", "cost_total": 1}, "OpenRouter", False),
        ({"category": "RequestResponse", "operationName": "x"}, "Azure", False),
        ({"jsonrpc": "2.0", "method": "tools/call"}, "MCP", False),
        ({"history": [{"model_output": {}}]}, "browser-use", False),
        ({"object": "chat.completion", "choices": []}, "stored completions", False),
        ({"object": "response", "output": []}, "Responses API", False),
        ({"severity_number": 9, "body": "x"}, "log records", False),
        ({"What is late?": "a parcel", "Who asks?": "Ann"}, "cache", False),
        ({"index": {"_index": "x"}}, "bulk", True),
        ({"features": {}, "description": ""}, "Hugging Face", True),
        ({"request": {"model": "text-embedding-3", "input": "x"}, "response": {}}, "embedding", True),
        ({"object": "trace.span", "span_data": {"type": "function"}}, "agents SDK", True),
    ],
)
def test_each_kind_is_named(row: dict[str, Any], word: str, is_no_call: bool) -> None:
    importer = RefusedImporter()
    found = importer.parse(row, ImportContext("f", 1))
    assert importer.sniff(row) and isinstance(found, Skip)
    assert word in found.reason and found.is_no_call is is_no_call


def test_calls_are_not_refused() -> None:
    assert not RefusedImporter().sniff({"messages": [], "response": "x"})
