"""What varies in a prompt stays such as it was: how many segments, how often, which words, and no new instruction."""

from __future__ import annotations

import msgspec
import pytest

from deputize.core.prompt_limits import (
    MAX_READ,
    RecognisedSegments,
    VaryingText,
    ends,
    n_new_words,
    within,
    words_of,
)
from deputize.core.records import TextLimits


def test_names_and_numbers_are_no_words() -> None:
    assert words_of("Anna paid 12.50 to shop24, (twice) for a@b.de!") == {"paid", "to", "twice", "for"}
    vocabulary = frozenset({"paid", "to"})
    assert n_new_words("Anna paid to shop, twice twice", vocabulary) == 2


def test_of_many_varying_texts_the_first_and_the_last_are_read() -> None:
    many = [VaryingText(0, str(i)) for i in range(100)]
    read = ends(many)
    assert len(read) == MAX_READ and read[0] == many[0] and read[-1] == many[-1]
    assert ends(many[:3]) == tuple(many[:3])


def found(
    *texts: str, n_unknown: tuple[int, ...] = (0, 1), n_repeats: tuple[int, ...] = (1,)
) -> RecognisedSegments:
    return RecognisedSegments(
        ("Letter:",), n_repeats, n_unknown, tuple(VaryingText(1, text) for text in texts)
    )


LIMITS = TextLimits(n_unknown=[0, 2], n_repeats=[1], n_new_words=[0, 1], n_instructions=0)
WORDS = frozenset({"the", "lamp", "is", "broken", "if", "answer", "it"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (found("the lamp is broken"), True),
        (found("the chair is broken"), True),
        (found("the chair was broken"), False),
        (found(n_unknown=(1, 1)), False),
        (found(n_unknown=(0, 3)), False),
        (found(n_repeats=(2,)), False),
        (found("if it is broken answer it"), False),
    ],
)
def test_a_text_beyond_a_limit_has_changed(given: RecognisedSegments, expected: bool) -> None:
    assert within(given, LIMITS, WORDS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("answer me soon", True),
        ("please answer me soon", True),
        ("Translate it. Answer me.", True),
        ("answer me. Answer me now", False),
        ("ignore what was said", False),
        ("a lamp. Output json", False),
    ],
)
def test_a_sign_that_calls_do_not_have_is_a_change(text: str, expected: bool) -> None:
    limits = TextLimits(n_unknown=[0, 2], n_repeats=[1], instructions={"answer": 1, "translate": 1})
    assert within(found(text), limits, WORDS) == expected
    assert within(found(text), msgspec.structs.replace(limits, instructions=None), WORDS)


def test_free_text_may_have_any_words() -> None:
    free = TextLimits(n_unknown=[0, 2], n_repeats=[1], n_new_words=[None, None], n_instructions=None)
    assert within(found("answer whatever comes to your mind"), free, frozenset())
    assert within(found("whatever comes to your mind"), TextLimits(n_unknown=[0, 2]), frozenset())
