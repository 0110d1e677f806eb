"""Deputize's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.collect.importers.calls import CallsImporter

ASK = [{"role": "system", "content": "Route."}, {"role": "user", "content": "hello"}]
SAY = {"role": "assistant", "content": "greeting"}


def log(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", "utf-8")
    return path


def calls_of(path: Path, **options: Any) -> list[Call]:
    out = list(read_calls(path, **options))
    assert all(isinstance(c, Call) for c in out), out
    return [c for c in out if isinstance(c, Call)]


def test_call_lines_keep_what_they_say(tmp_path: Path) -> None:
    row = {
        "id": "c1",
        "agent": "desk",
        "run_id": "r1",
        "task_id": 7,
        "step": 2,
        "model": "m",
        "messages": ASK,
        "tools": None,
        "response": SAY,
        "outcome": {"reward": 1.0, "success": True, "kind": "gold label"},
        "latency_s": 0.5,
        "usage": {"prompt_tokens": 9, "completion_tokens": 1},
        "timestamp": "2024-05-15T15:00:00Z",
        "response_format": {"type": "json_object"},
        "task_label": "leak",
        "cost_usd": 0.1,
    }
    (call,) = calls_of(log(tmp_path / "a.jsonl", row))
    assert (call.id, call.agent, call.episode, call.group, call.step) == ("c1", "desk", "r1", "desk:7", 2)
    assert call.outcome is not None and call.outcome.metric == "gold label" and call.outcome.success is True
    assert call.usage is not None and call.usage.prompt_tokens == 9
    assert call.latency_ms == 500 and call.timestamp == 1715785200 and call.cost_usd == 0.1
    assert call.params == {} and "leak" not in repr(call)


def test_only_objects_with_messages_and_a_response_are_recognised() -> None:
    importer = CallsImporter()
    assert importer.sniff({"messages": ASK, "output": "x"})
    for row in ({"messages": ASK}, {"response": SAY}, {"request": {"messages": ASK}, "response": SAY}):
        assert not importer.sniff(row)
