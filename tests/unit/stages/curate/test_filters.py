"""Filters: each gives its reason, and replies are compared within a site."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.contracts import answer_of
from deputize.core.records import Call, Contract, Outcome
from deputize.stages.curate.filters import ComparedReply, disagreements, first_reason, outcome_reasons

BOOK = {
    "type": "function",
    "function": {"name": "book", "parameters": {"type": "object", "required": ["seat"]}},
}


SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "schema": {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "integer"}, "b": {"enum": ["x"]}},
            "additionalProperties": False,
        }
    },
}


def call(n: int = 0, reply: str | None = "fine", **more: Any) -> Call:
    arguments = more.pop("arguments", None)
    response: dict[str, Any] = {"role": "assistant", "content": reply}
    if arguments is not None:
        name = more.pop("tool", "book")
        response = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": name, "arguments": arguments}}],
        }
    return Call(id=f"c{n}", messages=[{"role": "user", "content": "x"}], response=response, **more)


def labelled(*rows: tuple[str, str, str], site: str = "s") -> list[ComparedReply]:
    """(id, prompt, answer) rows; prompts that differ in case only are near-identical."""
    return [ComparedReply(id, site, prompt, prompt.lower(), answer) for id, prompt, answer in rows]


PROSE = [(f"x{i}", f"other {i}", f"some prose {i}") for i in range(30)]


LABELS = [(f"x{i}", f"other {i}", "yes" if i % 2 else "no") for i in range(30)]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (call(), ""),
        (call(reply=" "), "empty answer"),
        (call(finish_reason="length"), "truncated answer"),
        (call(aborted=True), "failed or aborted call"),
        (call(status=500), "failed or aborted call"),
        (call(arguments='{"seat": 1}', tools=[BOOK]), ""),
        (call(arguments="{seat", tools=[BOOK]), "unparsable tool arguments"),
        (call(arguments="[1]", tools=[BOOK]), "unparsable tool arguments"),
        (call(arguments="", tools=[BOOK]), "tool call without a required argument"),
        (call(arguments="{}", tool="fly", tools=[BOOK]), "tool that was not offered"),
        (call(reply="no json", response_format={"type": "json_object"}), "answer that is not JSON"),
        (call(reply='{"a": 1, "b": "x"}', response_format=SCHEMA), ""),
        (call(reply='{"a": "1"}', response_format=SCHEMA), "schema-invalid answer"),
        (call(reply='{"b": "x"}', response_format=SCHEMA), "schema-invalid answer"),
        (call(reply='{"a": 1, "c": 1}', response_format=SCHEMA), "schema-invalid answer"),
        (call(reply='{"a": 1, "a": 2}'), "answer that contradicts itself"),
        (call(reply='{"a": 1, "a": 1}'), ""),
        (call(arguments='{"seat": 1, "seat": 2}', tools=[BOOK]), "answer that contradicts itself"),
        (call(reply="I'm sorry, but I can't help with that."), "refusal"),
        (call(reply="I cannot find it", tools=[BOOK]), ""),
    ],
)
def test_reasons(made: Call, reason: str) -> None:
    assert first_reason(made) == reason


def test_a_reply_that_the_record_does_not_hold_whole_teaches_nothing() -> None:
    response = {"role": "assistant", "content": "see the picture", "not_recorded": ["images"]}
    made = Call(id="c", messages=[{"role": "user", "content": "x"}], response=response)
    assert first_reason(made) == "reply that is not recorded whole"
    assert answer_of(response, Contract(kind="text")) is None, (
        "nor is it an answer that a specialist could give"
    )


def test_failed_episodes_are_not_trained_on_unless_nothing_else_is_there() -> None:
    bad, good = Outcome(success=False), Outcome(success=True)
    calls = [call(i, outcome=bad if i % 2 else good) for i in range(100)] + [call(100)]
    sites = {c.id: "s" for c in calls}
    reasons, warnings = outcome_reasons(calls, sites)
    assert len(reasons) == 50 and not warnings and "c100" not in reasons
    reasons, warnings = outcome_reasons([call(i, outcome=bad if i else good) for i in range(100)], sites)
    assert reasons == {} and "Only 1 of 100" in warnings[0]
    reasons, warnings = outcome_reasons(
        [call(i, outcome=bad if i >= 40 else good) for i in range(100)], sites
    )
    assert reasons == {} and "Only 40 of 100" in warnings[0], "few examples cost more than some wrong ones"


def test_the_minority_answer_to_one_prompt_is_a_contradiction() -> None:
    rows = labelled(("a", "p", "yes"), ("b", "p", "yes"), ("c", "p", "no"), *PROSE)
    assert disagreements(rows) == {"c": "contradicts equal prompts"}


def test_near_identical_prompts_speak_against_an_answer_too() -> None:
    rows = labelled(("a", "p", "yes"), ("b", "P", "yes"), ("c", "p", "no"), ("d", "q", "no"), *PROSE)
    assert disagreements(rows) == {"c": "disagrees with near-identical prompts"}
    assert disagreements([*rows[:2], rows[2]._replace(site="elsewhere"), *rows[3:]]) == {}


def test_labels_without_a_majority_contradict_themselves_and_prose_does_not() -> None:
    pair = (("a", "p", "yes"), ("b", "p", "no"))
    assert disagreements(labelled(*pair, *LABELS)) == dict.fromkeys("ab", "self-contradicting label")
    assert disagreements(labelled(*pair, *PROSE)) == {}


@given(st.lists(st.tuples(st.sampled_from("pPqQ"), st.sampled_from(["yes", "no"])), max_size=30))
def test_of_a_clear_majority_nothing_is_dropped(pairs: list[tuple[str, str]]) -> None:
    rows = labelled(*((str(i), prompt, answer) for i, (prompt, answer) in enumerate(pairs)))
    out = disagreements(rows)
    for prompt in "pq":
        family = [r for r in rows if r.near_prompt == prompt]
        if len({r.answer for r in family}) == 1:
            assert not any(r.id in out for r in family)
