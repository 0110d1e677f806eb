"""Conversations as calls."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Outcome, Usage
from deputize.stages.collect.importers.base import ImportContext, Unreadable
from deputize.stages.collect.importers.conversation_turns import SeenTurns, conversation_calls

CONTEXT = ImportContext("f", 1, "desk")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def calls_of(messages: list[Any], **row: Any) -> list[Call | Skip]:
    return conversation_calls(messages, CONTEXT, row=row)


def test_every_turn_of_the_assistant_is_a_call() -> None:
    calls = calls_of(
        [user("1"), said("a", usage={"prompt_tokens": 2, "completion_tokens": 1}), user("2"), said("b")],
        id="c",
        reward=1,
    )
    assert all(
        isinstance(c, Call) and c.episode == c.group == "c" and c.outcome == Outcome(reward=1.0)
        for c in calls
    )
    first, second = calls
    assert isinstance(first, Call) and isinstance(second, Call)
    assert (first.id, second.id, first.agent) == ("c-0", "c-1", "desk")
    assert first.response == said("a") and first.usage == Usage(prompt_tokens=2, completion_tokens=1)
    assert second.messages == [user("1"), said("a"), user("2")] and second.step == 1


def test_turns_that_are_not_to_be_trained_on_are_named() -> None:
    found = calls_of(
        [said("hello"), user("1"), said("a", weight=0), user("2"), said(""), user("3"), said("b")]
    )
    assert [f.reason if isinstance(f, Skip) else f.response["content"] for f in found] == [
        "a turn of the assistant without anything before it",
        "a turn of weight 0",
        "an empty turn of the assistant",
        "b",
    ]
    assert all(f.is_no_call for f in found if isinstance(f, Skip))
    with pytest.raises(Unreadable, match="without a turn of the assistant"):
        calls_of([user("1")])


def test_history_of_later_lines_is_read_once_and_samples_are_kept() -> None:
    seen = SeenTurns()
    lines = [[user("1"), said("a")], [user("1"), said("a"), user("2"), said("b")], [user("1"), said("a")]]
    n = [sum(isinstance(c, Call) for c in conversation_calls(line, CONTEXT, seen=seen)) for line in lines]
    assert n == [1, 1, 0]
    seen = SeenTurns()
    assert [len(conversation_calls(lines[0], CONTEXT, seen=seen)) for _ in range(3)] == [1, 1, 1]


def test_turns_without_a_name_are_linked() -> None:
    episodes = {
        c.episode for c in calls_of([user("1"), said("a"), user("2"), said("b")]) if isinstance(c, Call)
    }
    assert len(episodes) == 1 and "" not in episodes
