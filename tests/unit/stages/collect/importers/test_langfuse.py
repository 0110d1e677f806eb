"""Observations of Langfuse."""

from __future__ import annotations

import json
from pathlib import Path

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls
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


def test_sessions_users_and_scores_come_from_the_traces_next_to_them(tmp_path: Path) -> None:
    rows = {
        "observations/a.jsonl": {
            "id": "o",
            "trace_id": "t",
            "type": "GENERATION",
            "input": "x",
            "output": "y",
        },
        "traces/a.jsonl": {
            "id": "t",
            "session_id": "s",
            "user_id": "ann",
            "bookmarked": False,
            "name": "desk",
        },
        "scores/a.jsonl": {"id": "c", "trace_id": "t", "name": "good", "value": 1, "data_type": "NUMERIC"},
    }
    for name, row in rows.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(row))
    (call,) = [c for c in read_calls(tmp_path, pseudonym=lambda raw, tenant: raw) if isinstance(c, Call)]
    assert (call.episode, call.origin, call.agent) == ("s", "ann", "desk")
    assert call.outcome is not None and (call.outcome.reward, call.outcome.metric) == (1.0, "good")
