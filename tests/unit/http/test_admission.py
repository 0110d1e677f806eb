"""Shares of a bounded resource."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.http.admission import SharedBudget


def test_what_is_taken_is_given_back() -> None:
    budget = SharedBudget(10)
    assert budget.take("", 10) and not budget.take("", 1)
    budget.give("", 10)
    assert budget.take("a", 10), "a first part is given as long as it fits"
    budget.give("a", 10)
    assert budget.used == 0


def test_one_owner_leaves_something_for_the_others() -> None:
    budget = SharedBudget(30)
    n_first = 0
    while budget.take("greedy", 1):
        n_first += 1
    n_second = 0
    while budget.take("other", 1):
        n_second += 1
    assert n_first == 24 and n_second >= 4 and budget.take("third", 1)


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 9)), max_size=60))
def test_never_more_than_the_whole(asked: list[tuple[str, int]]) -> None:
    budget = SharedBudget(25)
    taken = [(owner, amount) for owner, amount in asked if budget.take(owner, amount)]
    assert budget.used == sum(amount for _, amount in taken) <= 25
    for owner, amount in taken:
        budget.give(owner, amount)
    assert budget.used == 0 and budget.take("a", 25)
