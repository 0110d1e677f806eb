"""Phrases with alternatives, slips of the keyboard, and slots that neither touches."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.demo import language

SLOTS = {
    "product": "oak shelf",
    "order_id": "A-1042",
    "issue_date": "2 May",
    "email": "mia@example.com",
    "phone": "030 123",
    "card": "4111",
    "name": "Mia",
}


def test_an_alternative_is_chosen_inner_ones_first() -> None:
    said = {language.spin("{a {b|c}|d}!", random.Random(seed)) for seed in range(50)}
    assert said == {"a b!", "a c!", "d!"}


@given(st.integers(0, 500))
def test_slips_change_long_words_only(seed: int) -> None:
    text = "my <order_id> is late 12345 perhaps"
    slipped = language.slip(text, random.Random(seed), 1.0).split(" ")
    assert [slipped[i] for i in (0, 1, 2, 4)] == ["my", "<order_id>", "is", "12345"]
    assert slipped[3] != "late" or slipped[5] != "perhaps"
    assert language.slip(text, random.Random(seed), 0.0) == text


def test_slots_are_filled_and_unknown_ones_stay() -> None:
    assert language.fill("<product> for <nobody>", SLOTS) == "oak shelf for <nobody>"


@pytest.mark.parametrize("intent", language.PROBLEMS)
def test_a_letter_has_no_open_place_and_gives_away_what_it_is_told_to(intent: str) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        text = language.letter(
            intent, "normal", SLOTS, rng, with_mail=bool(seed % 2), with_card=bool(seed % 3)
        )
        assert not re.search(r"[{}|<>]", text)
        assert (SLOTS["email"] in text) == bool(seed % 2)
        assert (SLOTS["card"] in text) == bool(seed % 3)
        assert SLOTS["product"] in text
