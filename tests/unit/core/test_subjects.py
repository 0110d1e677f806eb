"""What enough data subjects hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.records import Example, Request
from deputize.core.subjects import Subjects

HELD = st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 4), max_size=5)), max_size=12)


@given(HELD, st.integers(1, 4))
def test_shared_is_what_so_many_different_subjects_have(
    held: list[tuple[str, list[int]]], least: int
) -> None:
    shared = Subjects([who for who, _ in held], least).shared(things for _, things in held)
    holders = {n: {who for who, things in held if n in things} for n in range(5)}
    assert shared == {n for n in range(5) if len(holders[n]) >= least}


def test_a_subject_is_the_origin_or_else_the_job() -> None:
    def subject(**given: str) -> str:
        row: dict[str, Any] = {"call_id": "c", "site": "s", "episode": "", "group": "", **given}
        return Example(request=Request(messages=[]), response={}, audience="code", **row).subject

    assert subject(origin="o", group="g", episode="e") == "o"
    assert subject(group="g", episode="e") == "g"
    assert subject(episode="e") == "e" and subject() == "c"
