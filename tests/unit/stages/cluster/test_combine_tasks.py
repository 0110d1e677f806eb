"""Contracts and recipes of tasks that are joined."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.contracts import agree, answer_of
from deputize.core.records import Contract, Field, PromptRecipe
from deputize.stages.cluster.combine_tasks import joined_contract, joined_recipe, new_id, same_frame

VALUES = st.one_of(st.booleans(), st.integers(-2, 2), st.sampled_from(["a", "b", 1.0]))
FIELDS = st.lists(
    st.builds(
        Field,
        name=st.sampled_from("xyz"),
        type=st.sampled_from(["label", "value", "free"]),
        optional=st.booleans(),
        labels=st.lists(VALUES, max_size=3),
    ),
    unique_by=lambda f: f.name,
    max_size=3,
)


@given(
    FIELDS,
    FIELDS,
    st.dictionaries(st.sampled_from("xyz"), VALUES),
    st.dictionaries(st.sampled_from("xyz"), VALUES),
)
def test_what_either_contract_takes_both_take_and_nothing_is_compared_less(
    a: list[Field], b: list[Field], first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, two = Contract(kind="json", fields=a), Contract(kind="json", fields=b)
    both = joined_contract(one, two)
    replies = [{"role": "assistant", "content": msgspec.json.encode(v).decode()} for v in (first, second)]
    for contract in (one, two):
        mine = [answer_of(reply, contract) for reply in replies]
        joined = [answer_of(reply, both) for reply in replies]
        for answer, as_both in zip(mine, joined, strict=True):
            assert answer is None or answer == as_both
        if None not in mine and agree(joined[0], joined[1], both):
            assert agree(mine[0], mine[1], contract)


def test_only_what_is_constant_in_both_is_left_out_of_prompts() -> None:
    a = PromptRecipe(constant_lines=["one", "both"], heads=["A:"], max_chars=500)
    b = PromptRecipe(mode="dialogue", constant_lines=["both", "two"], heads=["B:", "A:"], max_chars=800)
    assert joined_recipe(a, b) == PromptRecipe(
        mode="dialogue", constant_lines=["both"], heads=["A:", "B:"], max_chars=800
    )


def test_the_same_edit_gives_the_same_new_id() -> None:
    assert new_id("merge", ["a", "b"]) == new_id("merge", ["b", "a"]) != new_id("split", ["a", "b"])


def test_prose_that_only_one_task_has_is_compared() -> None:
    prose = Field(name="why", type="free")
    one, two = Contract(kind="json", fields=[prose]), Contract(kind="json")
    assert joined_contract(one, two).fields == [Field(name="why", type="value", optional=True)]
    assert joined_contract(one, one).fields == [prose]


def test_a_fence_around_one_of_them_is_another_frame() -> None:
    assert not same_frame(Contract(kind="json", fence="```json"), Contract(kind="json"))
    assert not same_frame(Contract(kind="tool_call", content="One moment."), Contract(kind="tool_call"))
    assert same_frame(Contract(kind="json", fence="```"), Contract(kind="json", fence="```"))
