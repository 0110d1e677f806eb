"""A cache would answer what was asked before; near repeats are counted apart, and so are changed answers."""

from __future__ import annotations

import pytest

from deputize.core.records import Contract, Example, Request
from deputize.stages.evaluate import repeated_requests
from deputize.stages.evaluate.repeated_requests import RepeatCounter, RepeatedRequests

LABEL = Contract(kind="label", labels=["yes", "no"])


def asked(*pairs: tuple[str, str]) -> list[Example]:
    return [
        Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": text}]),
            response={"role": "assistant", "content": reply},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
        )
        for i, (text, reply) in enumerate(pairs)
    ]


def counted(calls: list[Example]) -> RepeatedRequests:
    counter = RepeatCounter(LABEL)
    for call in calls:
        counter.add(call)
    return counter.found


def test_exact_and_near_repeats_are_counted_with_those_that_had_the_same_answer() -> None:
    calls = asked(
        ("Is order 17 late?", "yes"),
        ("Is order 17 late?", "yes"),
        ("Is order 17 late?", "no"),
        ("is order 18 LATE", "no"),
        ("is order 19, late?", "yes"),
        ("Something else", "no"),
    )
    assert counted(calls) == RepeatedRequests(2, 1, 2, 1)


def test_other_tools_are_another_request() -> None:
    calls = asked(("Go on", "yes"), ("Go on", "yes"))
    calls[1].request.messages.append({"role": "assistant", "tool_calls": [{"function": {"name": "find"}}]})
    assert counted(calls) == RepeatedRequests()


def test_a_full_cache_forgets_what_was_not_asked_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_requests, "MOST_CACHED", 2)
    calls = asked(*((letter, "yes") for letter in ("one", "two", "one", "three", "two", "one", "three")))
    assert counted(calls) == RepeatedRequests(1, 1, 0, 0)
