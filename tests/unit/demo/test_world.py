"""The simulated shop: the same for the same seed, varied, and learnable."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from deputize.demo import language, world


@given(st.integers(0, 50), st.integers(0, 100_000))
def test_a_ticket_is_the_same_whatever_was_drawn_before(seed: int, index: int) -> None:
    one = world.ticket(seed, index)
    world.ticket(seed, index + 1)
    assert world.ticket(seed, index) == one
    assert world.ticket_in(seed, f"Case: {one.number}\n") == one


@given(st.integers(0, 20), st.integers(0, 100_000))
def test_what_is_asked_for_stands_in_the_letter(seed: int, index: int) -> None:
    ticket = world.ticket(seed, index)
    for value in (ticket.order_id, ticket.product, ticket.issue_date, ticket.name):
        assert value in ticket.text
    assert (ticket.email in ticket.text) == ticket.gives_email
    assert not re.search(r"[<>{}|]", ticket.text)


def test_letters_vary_and_nothing_is_one_sided() -> None:
    tickets = [world.ticket(0, i) for i in range(1000)]
    assert len({t.text for t in tickets}) == 1000
    assert len({re.sub(r"[A-Z][a-z]+ [a-z ]+|\S*\d\S*|\S+@\S+", "", t.text) for t in tickets}) > 900
    for share in (
        sum(t.allowed for t in tickets),
        sum(t.urgency == "high" for t in tickets),
        sum(t.mode == "code" for t in tickets),
    ):
        assert 300 < share < 750
    assert all(100 < sum(t.intent == intent for t in tickets) < 240 for intent in world.INTENTS)
    assert 50 <= sum(t.fails for t in tickets) <= 110
    assert any("card" in t.text and "4000" in t.text for t in tickets)


def test_policy_follows_from_what_is_stated() -> None:
    for ticket in (world.ticket(3, i) for i in range(300)):
        text = " ".join(ticket.facts)
        against = re.search(r"closed|past|outside|missing|worn|altered|fraud|flagged|reversed", text)
        assert ticket.allowed == (against is None), text


def test_what_is_to_be_done_next_is_said_in_other_words() -> None:
    tickets = [world.ticket(0, i) for i in range(1000)]
    for outcome, share in world.OUTCOMES.items():
        mine = [t for t in tickets if t.outcome == outcome]
        assert abs(len(mine) / 1000 - share) < 0.06
        assert len({t.answered for t in mine}) >= 10
        # no wording stands for two things
        assert not {t.answered for t in mine} & {t.answered for t in tickets if t.outcome != outcome}
    assert not any(t.fails and t.outcome == "solved" for t in tickets)


@given(st.randoms(use_true_random=False))
def test_card_numbers_pass_the_check_digit(rng: random.Random) -> None:
    digits = [int(c) for c in world.card_number(rng) if c.isdigit()]
    assert len(digits) == 16
    assert sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(reversed(digits))) % 10 == 0


@given(st.text(alphabet="abcdefgh ", max_size=60), st.randoms(use_true_random=False))
def test_slips_leave_slots_alone(text: str, rng: random.Random) -> None:
    words = f"{text} <order_id> <email>"
    out = language.slip(words, rng, 1.0)
    assert out.endswith("<order_id> <email>")
    assert len(out.split(" ")) == len(words.split(" "))


def test_spinning_leaves_no_choice_open() -> None:
    rng = random.Random(0)
    for bank in (
        *language.PROBLEMS.values(),
        *language.URGENCY.values(),
        language.ASIDES,
        language.CONTACTS,
        language.REFERENCES,
        *language.ANSWERS.values(),
    ):
        for phrase in bank:
            assert not set("{}|") & set(language.spin(phrase, rng))
