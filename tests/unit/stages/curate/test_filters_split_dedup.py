"""Filters give reasons, groups stay on one side, duplicates are counted as weight."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.records import Call, Outcome
from deputize.stages.curate.dedup import DedupItem, find_duplicates, sketch
from deputize.stages.curate.filters import ComparedReply, disagreements, first_reason, outcome_reasons
from deputize.stages.curate.split import SPLITS, assign_splits, joined_groups

SHARES = (0.45, 0.10, 0.25, 0.20)
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


def test_failed_episodes_are_not_learnt_from_unless_nothing_else_is_there() -> None:
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


def labelled(*rows: tuple[str, str, str], site: str = "s") -> list[ComparedReply]:
    """(id, prompt, answer) rows; prompts that differ in case only are near-identical."""
    return [ComparedReply(id, site, prompt, prompt.lower(), answer) for id, prompt, answer in rows]


PROSE = [(f"x{i}", f"other {i}", f"some prose {i}") for i in range(30)]
LABELS = [(f"x{i}", f"other {i}", "yes" if i % 2 else "no") for i in range(30)]


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


def grouped(n_groups: int, per_group: int = 2, timed: bool = False, agents: int = 1) -> list[Call]:
    return [
        call(g * per_group + i, group=f"g{g}", agent=f"a{g % agents}", timestamp=float(g) if timed else None)
        for g in range(n_groups)
        for i in range(per_group)
    ]


def sides_of(calls: list[Call], seed: int = 0) -> dict[str, str]:
    return dict(assign_splits(calls, {c.id: c.group for c in calls}, SHARES, seed))


@pytest.mark.parametrize(
    ("n", "filled"),
    [
        (1, {"train"}),
        (2, {"train", "test"}),
        (3, {"train", "test", "calibration"}),
        (4, {"train", "validation", "test", "calibration"}),
    ],
)
def test_few_groups_fill_the_sides_that_matter(n: int, filled: set[str]) -> None:
    assert set(sides_of(grouped(n)).values()) == filled


def test_shares_times_and_seeds() -> None:
    assert Counter(sides_of(grouped(200)).values()) == {
        "train": 90,
        "validation": 20,
        "calibration": 50,
        "test": 40,
    }
    assert sides_of(grouped(50)) != sides_of(grouped(50), seed=1)
    timed = sides_of(grouped(20, timed=True))
    assert [timed[f"g{i}"] for i in (0, 8, 9, 11, 15, 16, 19)] == [
        "train",
        "train",
        "validation",
        "calibration",
        "calibration",
        "test",
        "test",
    ]
    mixed = sides_of(grouped(60, agents=3))
    for agent in range(3):
        assert len({mixed[f"g{g}"] for g in range(60) if g % 3 == agent}) == 4


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["", *"uvwxyz"])), min_size=1, max_size=60
    ),
    times=st.one_of(st.none(), st.permutations(range(60))),
)
def test_no_group_and_no_episode_is_on_two_sides_and_time_runs_from_train_to_test(
    rows: list[tuple[str, str]], times: list[int] | None
) -> None:
    calls = [
        Call(
            id=f"c{i}",
            agent="a",
            messages=[],
            response={},
            episode=episode,
            group=group,
            timestamp=times[i] if times else None,
        )
        for i, (group, episode) in enumerate(rows)
    ]
    group_of = joined_groups((c.id, c.group, c.episode) for c in calls)
    sides = assign_splits(calls, group_of, (0.45, 0.1, 0.25, 0.2), 0)
    for of in ({c.id: c.group for c in calls}, {c.id: c.episode for c in calls if c.episode}):
        for one in set(of.values()):
            assert len({sides[group_of[id]] for id, name in of.items() if name == one}) == 1
    if times:
        began = {g: min(c.timestamp or 0 for c in calls if group_of[c.id] == g) for g in sides}
        order = [SPLITS.index(sides[g]) for g in sorted(sides, key=began.__getitem__)]
        assert order == sorted(order)


@given(n=st.integers(1, 60), agents=st.integers(1, 4), seed=st.integers(0, 9))
def test_every_group_is_on_one_side(n: int, agents: int, seed: int) -> None:
    sides = sides_of(grouped(n, agents=agents), seed)
    assert set(sides) == {f"g{g}" for g in range(n)} and set(sides.values()) <= {
        "train",
        "validation",
        "calibration",
        "test",
    }


def test_duplicates_become_weight() -> None:
    long = "please move my flight to the next morning because the meeting was shifted by the customer " * 3
    items = [
        DedupItem("a", "s", long),
        DedupItem("b", "s", long),
        DedupItem("c", "s", long + "!"),
        DedupItem("d", "other", long),
        DedupItem("f", "s", long + "!"),
        DedupItem("e", "s", "something else entirely, about baggage and seats and meals"),
    ]
    found = find_duplicates(map(sketch, items))
    assert found.reason == {"b": "exact duplicate", "c": "near duplicate", "f": "exact duplicate"}
    assert found.weight == {"a": 4.0}  # what a near duplicate stood for is stood for still


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xy"), st.sampled_from(["a b c", "a b c d", "quite another text", "and one more"])
        ),
        max_size=25,
    )
)
def test_kept_items_and_their_weights_stand_for_every_item(pairs: list[tuple[str, str]]) -> None:
    items = [DedupItem(str(i), bucket, text * 9) for i, (bucket, text) in enumerate(pairs)]
    found = find_duplicates(map(sketch, items))
    kept = [i for i in items if i.id not in found.reason]
    assert sum(found.weight.get(i.id, 1.0) for i in kept) == len(items)
    assert not found.weight.keys() & found.reason.keys()
    assert {i.bucket for i in kept} == {i.bucket for i in items}


def test_no_items_no_duplicates() -> None:
    assert find_duplicates([]).reason == {} and json.dumps(find_duplicates([]).weight) == "{}"
