"""Forms of values in training: what enough data subjects share, and nothing of one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.core.subjects import Subjects
from deputize.specialists.answer_forms import Copied, Form, Guesses
from deputize.specialists.kept_forms import (
    FILE,
    KeptForm,
    Place,
    as_written_before,
    read_forms,
    shared_forms,
    write_forms,
)

KEY = (None, "text")
NAME, COLON, BREAK, CLOSED, OPEN = 90, 91, 92, 93, 94


def of(name: int, what: int) -> dict[tuple[str | None, str], Form]:
    """The form of a value that copies a name and says what is to be done."""
    return {KEY: [Copied((NAME, COLON), BREAK, (name,)), what]}


def test_a_form_is_kept_where_enough_share_it_and_what_was_copied_is_not() -> None:
    values = [of(1, CLOSED), of(2, CLOSED), of(3, OPEN), of(4, CLOSED), of(5, OPEN), of(6, 7)]
    kept = shared_forms(values, Subjects(["a", "b", "c", "a", "c", "d"], 2))
    # c said "open" twice, which is one person all the same
    assert kept == [
        KeptForm(action=None, slot="text", parts=(Place(before=(NAME, COLON), after=BREAK), CLOSED), n=3)
    ]
    assert [one.n for one in shared_forms(values, Subjects([""] * 6, 1))] == [3, 2, 1]


def test_a_word_that_stands_in_the_prompt_too_is_no_copy() -> None:
    also: dict[tuple[str | None, str], Form] = {
        KEY: [Copied((NAME, COLON), BREAK, (3,)), Copied((5, 6), 7, (CLOSED,))]
    }
    kept = shared_forms([of(1, CLOSED), of(2, CLOSED), also], Subjects(["a", "b", "c"], 2))
    assert [(one.parts[1], one.n) for one in kept] == [(CLOSED, 3)]
    # what is never said without it is copied: one "yes" or "no"
    answer: list[dict[tuple[str | None, str], Form]] = [{KEY: [Copied((5, 6), BREAK, (n,))]} for n in (8, 9)]
    kept = shared_forms(answer, Subjects(["a", "b"], 2))
    assert [one.parts for one in kept] == [(Place(before=(5, 6), after=BREAK),)]


def test_the_first_value_is_guessed_from_them_as_later_ones_are() -> None:
    kept = shared_forms([of(n, CLOSED) for n in range(3)], Subjects(["a", "b", "c"], 2))
    forms = as_written_before(kept, 32)
    guess = Guesses(forms[KEY], [NAME, COLON, 40, 41, BREAK], 9).best()
    assert guess is not None and guess.tokens == [40, 41, CLOSED] and guess.is_agreed
    # where the place is not there nothing of another value is said
    guess = Guesses(forms[KEY], [COLON, NAME, 40, BREAK], 9).best()
    assert guess is not None and guess.tokens == [CLOSED]


def test_each_has_its_share_of_the_room_and_the_rarest_go_first() -> None:
    values = [of(n, CLOSED) for n in range(60)] + [of(n, OPEN) for n in range(30)] + [of(0, 5), of(0, 5)]
    forms = as_written_before(shared_forms(values, Subjects([str(n) for n in range(92)], 2)), 8)[KEY]
    assert [form[-1] for form in forms] == [CLOSED] * 5 + [OPEN] * 3 and forms.maxlen == 8
    few = as_written_before([KeptForm(action="a", slot="s", parts=(1,), n=2)], 8)
    assert [*few["a", "s"]] == [[1], [1]]


def test_they_are_read_as_they_were_written_and_a_specialist_may_have_none(tmp_path: Path) -> None:
    write_forms(tmp_path, [])
    assert not (tmp_path / FILE).exists() and read_forms(tmp_path) == []
    kept = shared_forms([of(1, CLOSED), of(2, CLOSED)], Subjects(["a", "b"], 2))
    write_forms(tmp_path, kept)
    assert read_forms(tmp_path) == kept
    (tmp_path / FILE).write_text("[{]")
    with pytest.raises(BadInput, match=r"forms\.json cannot be read"):
        read_forms(tmp_path)
