"""Whole values, guessed from the forms of earlier ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.specialists.answer_forms import Copied, Form, Guess, Guesses, form_of

BREAK, PRODUCT, ORDER, COLON, BAR, WORD = 90, 91, 92, 93, 94, 95


def prompt_of(product: list[int], order: list[int]) -> list[int]:
    return [BREAK, PRODUCT, COLON, *product, BREAK, ORDER, COLON, *order, BREAK]


def value_of(product: list[int], order: list[int]) -> list[int]:
    return [*product, BAR, WORD, *order]


def guessed(forms: list[Form], prompt: list[int], most: int) -> Guess | None:
    return Guesses(forms, prompt, most).best()


def test_what_a_value_copied_is_found_in_another_prompt_by_what_stands_before_it() -> None:
    form = form_of(value_of([1, 2], [7, 8]), prompt_of([1, 2], [7, 8]))
    assert form == [
        Copied((PRODUCT, COLON), BREAK, (1, 2)),
        BAR,
        WORD,
        Copied((ORDER, COLON), BREAK, (7, 8)),
    ]
    guess = guessed([form], prompt_of([3, 4, 5], [9]), 20)
    assert guess is not None and guess.tokens == value_of([3, 4, 5], [9])
    assert not guess.is_agreed, "one value says little"
    guess = guessed([form, form], prompt_of([3, 4, 5], [9]), 4)
    assert guess is not None and guess.is_agreed and guess.tokens == [3, 4, 5, BAR]


def test_most_forms_decide_and_others_do_not_agree() -> None:
    usual = form_of(value_of([1], [7]), prompt_of([1], [7]))
    other = form_of([WORD, 7], prompt_of([1], [7]))
    prompt = prompt_of([2], [8])
    guess = guessed([other, usual, usual, usual, usual], prompt, 20)
    assert guess is not None and guess.tokens == value_of([2], [8]) and guess.is_agreed
    both = Guesses([other, usual, usual], prompt, 20)
    guess = both.best()
    assert guess is not None and guess.tokens == value_of([2], [8]) and not guess.is_agreed
    # of those that begin as what is written
    guess = both.best([2])
    assert guess is not None and guess.tokens == value_of([2], [8]) and guess.is_agreed
    guess = both.best([WORD])
    assert guess is not None and guess.tokens == [WORD, 8] and not guess.is_agreed
    assert both.best([5]) is None and list(both.usual) == value_of([2], [8])
    assert guessed([other, usual, form_of([7, 7], prompt_of([1], [7]))], prompt, 20) is None, "none is likely"
    assert guessed([], prompt, 20) is None and list(Guesses().usual) == []


def test_where_values_end_differently_what_they_begin_with_is_tried_and_then_the_end_that_was_begun() -> None:
    ends = [[20, 21], [22, 23], [24, 25]]
    forms = [form_of([*value_of([1], [7]), *end], prompt_of([1], [7])) for end in ends for _ in range(3)]
    guesses = Guesses(forms, prompt_of([2, 3], [8, 9]), 20)
    begin = value_of([2, 3], [8, 9])
    guess = guesses.best()
    assert guess is not None and guess.tokens == begin and guess.is_agreed
    assert guesses.best(begin) is None, "what comes next is for the model to say"
    guess = guesses.best([*begin, 22])
    assert guess is not None and guess.tokens == [*begin, 22, 23] and guess.is_agreed
    # a likely end of few tokens is tried with what all begin with
    guess = Guesses([*forms, *forms[:3], *forms[:3]], prompt_of([2], [8]), 20).best()
    assert guess is not None and guess.tokens == [*value_of([2], [8]), 20, 21] and guess.is_agreed


def test_a_place_that_the_prompt_does_not_have_leaves_the_words_of_the_earlier_value() -> None:
    form = form_of(value_of([1, 2], [7]), prompt_of([1, 2], [7]))
    guess = guessed([form], [BREAK, ORDER, COLON, 9, BREAK], 20)
    assert guess is not None and guess.tokens == [1, 2, BAR, WORD, 9]


def test_where_the_token_behind_is_another_as_many_are_copied() -> None:
    form = form_of([7, 8], [ORDER, COLON, 7, 8, WORD])
    guess = guessed([form], [ORDER, COLON, 5, 6, BAR], 20)
    assert guess is not None and guess.tokens == [5, 6]


def test_a_repeated_context_is_told_apart_by_more_tokens() -> None:
    prompt = [1, COLON, 5, 2, COLON, 6]
    assert form_of([6], prompt) == [Copied((2, COLON), None, (6,))]
    # nothing before it, or nothing by which it is the first: it is its own words
    assert form_of([1], prompt) == [1]
    assert form_of([6], [4, 4, 4, 4, 4, 4, 6]) == [6]


tokens = st.lists(st.integers(0, 4), max_size=14)


@given(tokens, tokens, tokens, st.integers(0, 10))
def test_a_form_is_its_value_with_few_tokens_of_the_prompt_and_guesses_are_made_of_what_is_there(
    value: list[int], prompt: list[int], other: list[int], most: int
) -> None:
    form = form_of(value, prompt)
    assert [t for part in form for t in (part.tokens if isinstance(part, Copied) else [part])] == value
    assert all(len(part.before) <= 4 for part in form if isinstance(part, Copied))
    guess = guessed([form], other, most)
    assert guess is not None and len(guess.tokens) <= most
    assert set(guess.tokens) <= {*value, *other}
