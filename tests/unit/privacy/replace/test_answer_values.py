"""Values of an answer: labels, copies out of the prompt, and whether they survive a change."""

from __future__ import annotations

import json

from deputize.core.records import Call
from deputize.privacy.replace.answer_values import answer_still_follows, answer_values, occurs_in

CALL = Call(
    id="c",
    messages=[{"role": "user", "content": "Book for Ann Lee, seat 12A"}],
    response={
        "role": "assistant",
        "content": json.dumps({"intent": "book", "name": "Ann Lee", "note": "made up"}),
    },
)


def test_labels_and_copies_are_told_apart() -> None:
    assert answer_values(CALL, {"book"}) == ({"book"}, {"Ann Lee"})


def test_an_answer_follows_as_long_as_copies_are_copies_and_labels_are_unchanged() -> None:
    assert answer_still_follows(CALL, lambda t: t.replace("Ann Lee", "Bob Ray"), {"book"})
    assert not answer_still_follows(CALL, lambda t: "Bob" if t == "Ann Lee" else t, {"book"})
    assert not answer_still_follows(CALL, lambda t: t.replace("book", "x"), {"book"})


def test_a_part_of_a_longer_word_is_no_occurrence() -> None:
    assert occurs_in("12", "seat 12, row") and not occurs_in("12", "seat 123") and occurs_in("a", "ba a")
