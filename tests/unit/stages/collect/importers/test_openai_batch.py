"""Batches."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.openai_batch import BatchImporter

CONTEXT = ImportContext("f", 1)


def test_parts_without_their_counterpart_are_named() -> None:
    joiner = BatchImporter().joiner()
    assert joiner.add({"custom_id": "a", "body": {"messages": []}}, CONTEXT) == []
    assert joiner.add({"custom_id": "b", "response": {"body": {}}}, CONTEXT) == []
    (again,) = joiner.add({"custom_id": "a", "body": {"messages": [1]}}, CONTEXT)
    assert isinstance(again, Skip)
    assert [s.reason.split(";")[0] for s in joiner.finish() if isinstance(s, Skip)] == [
        "a batch request without its result",
        "a batch result without its request",
    ]
    (other,) = joiner.add({"custom_id": "c", "url": "/v1/embeddings", "body": {"input": "x"}}, CONTEXT)
    assert isinstance(other, Skip) and other.is_no_call
