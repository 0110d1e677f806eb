"""Transcripts of coding agents."""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.coding_agents import (
    ClaudeCodeImporter,
    CodexImporter,
    GeminiCliImporter,
)

CONTEXT = ImportContext("f", 1)


def line(kind: str, text: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "uuid": text, "sessionId": "s", "message": {"role": kind, "content": text}, **more}


def test_side_threads_are_apart_and_notes_are_no_turns() -> None:
    joiner = ClaudeCodeImporter().joiner()
    rows: list[dict[str, Any]] = [
        line("user", "main"),
        line("user", "caveat", isMeta=True),
        line("user", "side", isSidechain=True),
        line("assistant", "side answer", isSidechain=True),
        line("assistant", "answer"),
        {"type": "summary", "summary": "x", "leafUuid": "1"},
    ]
    assert all(ClaudeCodeImporter().sniff(row) for row in rows)
    assert [item for row in rows for item in joiner.add(row, CONTEXT)] == []
    calls = [item for item in joiner.finish() if isinstance(item, Call)]
    assert [(c.episode, [m["content"] for m in c.messages], c.source) for c in calls] == [
        ("s", ["main"], "transcript"),
        ("s-side", ["side"], "transcript"),
    ]


def test_a_transcript_without_a_turn_is_named() -> None:
    found = CodexImporter().parse({"type": "session_meta", "payload": {"id": "s"}}, CONTEXT)
    assert isinstance(found, Skip) and found.is_no_call
    assert not GeminiCliImporter().sniff({}) and not GeminiCliImporter().sniff(
        {"type": "user", "message": {}}
    )
