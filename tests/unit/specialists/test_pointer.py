"""A pointer to one value slot: what may be copied, and which candidate is."""

from __future__ import annotations

from deputize.core.subjects import Subjects
from deputize.specialists.pointer import Pointer, fit_pointer
from deputize.specialists.tokenized_text import TokenizedText

PAGES = [TokenizedText(f"my order is LH-{i + 1000}, not LH-{i + 5000}") for i in range(40)]
WANTED = [f"LH-{i + 1000}" for i in range(40)]


def test_only_shapes_seen_in_train_are_candidates() -> None:
    pointer = Pointer(["A-0"], [1], ["null"])
    texts = [c.text for c in pointer.copy_spans(TokenizedText("Take LH-1 or x9 now"))]
    assert texts == ["LH-1", "null"]


def test_words_around_tell_which_of_two_is_meant() -> None:
    pointer = fit_pointer(PAGES, WANTED)
    assert pointer is not None and pointer.shapes == ["A-0"] and pointer.lengths == [1]
    found = pointer.best(TokenizedText("my order is LH-77, not LH-88"))
    assert found is not None
    text, log_p, margin = found
    assert text == "LH-77" and -0.7 < log_p <= 0 and margin > 0
    assert pointer.best(TokenizedText("nothing here")) is None


def test_values_that_do_not_stand_in_their_texts_cannot_be_pointed_at() -> None:
    assert fit_pointer(PAGES, [f"sum {i}" for i in range(40)]) is None


def test_a_word_of_one_subject_alone_has_no_weight() -> None:
    one_person = Subjects(["zoe"] * len(PAGES), 2)
    pointer = fit_pointer(PAGES, WANTED, subjects=one_person)
    assert pointer is not None and not pointer.weights_F.any()


MAILS = [TokenizedText(f"answer me at a{i}@b.com, my colleague c{i}@d.com is in copy") for i in range(40)]


def test_a_value_of_an_unknown_shape_is_not_overlooked_for_another_one() -> None:
    """The value itself is no candidate then: to give the other mail with confidence would be worse than nothing."""
    pointer = fit_pointer(MAILS, [f"a{i}@b.com" for i in range(40)])
    assert pointer is not None
    known = pointer.best(TokenizedText("answer me at a7@b.com, my colleague c7@d.com is in copy"))
    assert known is not None and known[0] == "a7@b.com"
    for odd in ("a7@b.co.uk", "a7@b-c.com", "A7@b.com"):
        assert pointer.best(TokenizedText(f"answer me at {odd}, my colleague c7@d.com is in copy")) is None
    # an odd piece elsewhere, and plain words, are no value
    elsewhere = pointer.best(TokenizedText("answer me at a7@b.com, my colleague c7@d.co.uk is in copy"))
    assert elsewhere is not None and elsewhere[0] == "a7@b.com"


LETTERS = [
    TokenizedText(
        f"My name is Ann{'a' * (i % 3)}. I called. Order LH-{100 + i}, placed on 2026-01-{10 + i % 9}"
    )
    for i in range(40)
]


def test_pieces_that_recur_in_train_are_taken_for_no_value() -> None:
    """Where values have a shape of their own, the words before them say little: names and dates look as likely."""
    pointer = fit_pointer(LETTERS, [f"LH-{100 + i}" for i in range(40)])
    assert pointer is not None
    assert {"Aa", "A", "0-0-0"} <= set(pointer.ordinary) and "A-0" in pointer.ordinary
    for text in ("Order LH-777, placed on 2026-01-13. My name is Bo", "I called. Her Order is LH-777"):
        found = pointer.best(TokenizedText(text))
        assert found is not None and found[0] == "LH-777"


def test_a_shape_of_one_subject_is_not_kept() -> None:
    pages = [*LETTERS, TokenizedText("Order LH-999, placed on 2026-01-10, x_Y9")]
    wanted = [*(f"LH-{100 + i}" for i in range(40)), "LH-999"]
    pointer = fit_pointer(pages, wanted, subjects=Subjects([*map(str, range(40)), "zoe"], 2))
    assert pointer is not None and "a_A0" not in pointer.ordinary and "Aa" in pointer.ordinary
