"""Platforms with rows of their own."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers import platforms
from deputize.stages.collect.importers.base import ImportContext, Importer

CONTEXT = ImportContext("f", 1)


@pytest.mark.parametrize(
    ("importer", "row"),
    [
        (platforms.BraintrustImporter(), {"span_attributes": {"type": "tool"}, "span_id": "s"}),
        (platforms.WeaveImporter(), {"op_name": "weave:///f", "inputs": {"x": 1}}),
        (
            platforms.MlflowImporter(),
            {"attributes": {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": "{}"}},
        ),
        (platforms.DatadogImporter(), {"span_id": "s", "span_kind": "tool", "ml_app": "a"}),
    ],
)
def test_spans_that_are_no_llm_calls_are_recognised_and_left_out(
    importer: Importer, row: dict[str, Any]
) -> None:
    assert importer.sniff(row)
    found = importer.parse(row, CONTEXT)
    skip = found if isinstance(found, Skip) else next(iter(found)) if isinstance(found, list) else None
    assert isinstance(skip, Skip) and skip.is_no_call


def test_a_log_of_apim_without_texts_is_named() -> None:
    joiner = platforms.ApimImporter().joiner()
    assert joiner.add({"CorrelationId": "a", "SequenceNumber": 0}, CONTEXT) == []
    (found,) = joiner.finish()
    assert isinstance(found, Skip) and "logging of prompts is off" in found.reason
