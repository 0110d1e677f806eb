"""Guesses of what follows: what earlier values agree on, else what the prompt says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.specialists.drafts import draft

BAR, ORDER = 90, 91
RECENT = [[5, BAR, ORDER, 1, 2, BAR, 7], [6, BAR, ORDER, 3, 4, BAR, 8], [5, BAR, ORDER, 9, 9, BAR, 7]]


def test_words_that_all_values_have_come_first_and_between_them_what_the_prompt_says() -> None:
    prompt = [70, ORDER, 44, 45, 71, BAR, 72]
    # after the bar earlier values agree on the next word; after that they differ, and the prompt decides
    assert draft([5], prompt, RECENT, 4) == [BAR, ORDER, 44, 45]
    assert draft([5], prompt, RECENT, 2) == [BAR, ORDER]


def test_a_longer_match_in_the_prompt_wins_and_of_equal_ones_the_last() -> None:
    prompt = [1, 2, 3, 1, 2, 4, 8, 2, 5]
    assert draft([1, 2], prompt, [], 1) == [4]
    assert draft([8, 2], prompt, [], 1) == [5]
    assert draft([2], prompt, [], 1) == [5]


def test_one_earlier_value_alone_is_taken_only_where_the_prompt_says_nothing() -> None:
    assert draft([1], [1, 7], [[1, 6]], 1) == [7]
    assert draft([1], [3, 7], [[1, 6]], 1) == [6]
    assert draft([1], [3, 7], [], 5) == [] == draft([1], [], [], 5)


tokens = st.lists(st.integers(0, 5), max_size=12)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    tokens,
    st.lists(tokens, max_size=4),
    st.integers(0, 6),
)
def test_a_guess_is_no_longer_than_asked_and_made_of_what_is_there(
    written: list[int], prompt: list[int], recent: list[list[int]], most: int
) -> None:
    found = draft(written, prompt, recent, most)
    assert len(found) <= most
    assert set(found) <= {token for source in (prompt, *recent) for token in source[1:]}
