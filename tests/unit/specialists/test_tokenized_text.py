"""Pieces, runs and shapes of a text."""

from __future__ import annotations

import pytest

from deputize.specialists.tokenized_text import TokenizedText, shape_of


@pytest.mark.parametrize(
    ("text", "shape"), [("LH-46698", "A-0"), ("AB-1", "A-0"), ("Birch  rug", "Aa a"), ("a@b.org", "a@a.a")]
)
def test_a_shape_holds_no_letter_or_digit_of_the_text(text: str, shape: str) -> None:
    assert shape_of(text) == shape


def test_runs_stay_on_one_line_and_leave_out_the_full_stop() -> None:
    text = TokenizedText("Order: LH-1 now.\nBirch rug")
    assert text.words == ["order", "lh-1", "now", "birch", "rug"]
    runs = {text.between(i, j): shape for i, j, shape in text.runs((2,))}
    assert runs == {"Order: LH-1": "Aa: A-0", "LH-1 now": "A-0 a", "Birch rug": "Aa a"}
    assert text.heads[0] == "order" and text.heads[3] == ""


def test_letters_with_accents_have_the_case_that_they_are_written_in() -> None:
    assert shape_of("José Muñoz") == shape_of("Mia Li") == "Aa Aa"
    assert shape_of("ÅSA") == "A" and shape_of("müller@x.de") == "a@a.a"
