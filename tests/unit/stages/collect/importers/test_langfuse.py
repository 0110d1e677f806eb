"""Observations of Langfuse."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.langfuse import LangfuseImporter

CONTEXT = ImportContext("f", 1)


def test_spans_and_scores_are_no_calls() -> None:
    importer = LangfuseImporter()
    for row in (
        {"type": "SPAN", "traceId": "t"},
        {"traceId": "t", "name": "good", "value": 1, "dataType": "NUMERIC"},
    ):
        assert importer.sniff(row)
        found = importer.parse(row, CONTEXT)
        assert isinstance(found, Skip) and found.is_no_call
    assert not importer.sniff({"type": "GENERATION"})
