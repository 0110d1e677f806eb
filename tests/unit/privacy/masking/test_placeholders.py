"""Placeholders: one for each written form, and replies in which they come back as written, wherever they are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deputize.privacy.masking.placeholders import Placeholders, begins_like_json

VALUES = [
    ("PERSON", "Anna Miller"),
    ("PERSON", 'Dwayne "Rock" O\'Neil'),
    ("EMAIL_ADDRESS", "anna@example.com"),
    ("ID", "7"),
    ("NATIONAL_ID", "12\n34"),
    ("OWN TYPE!", "ж"),
]
NUMBER = "123456789"


def full() -> tuple[Placeholders, list[str]]:
    placeholders = Placeholders()
    made = [placeholders.of(kind, value) for kind, value in VALUES]
    return placeholders, [*made, str(placeholders.of_number(NUMBER))]


def test_forms_of_one_value_share_a_number_and_come_back_as_written() -> None:
    placeholders = Placeholders(["see item_1a and PERSON_2b"])
    whole = placeholders.of("PERSON", "Anna Miller")
    part = placeholders.of("PERSON", "Anna", same_as="Anna Miller")
    assert (whole, part) == ("PERSON_3a", "PERSON_3b")
    assert placeholders.of("PERSON", "Anna Miller") == whole
    assert placeholders.restore(f"{part}, {whole} and person_3A, not PERSON_1a") == (
        "Anna, Anna Miller and Anna Miller, not PERSON_1a"
    )


def test_more_forms_than_letters_go_on_with_the_next_number() -> None:
    placeholders = Placeholders()
    made = [placeholders.of("PERSON", f"Anna {n}", same_as="Anna") for n in range(30)]
    assert made[25:27] == ["PERSON_1z", "PERSON_2a"] and len(set(made)) == 30


def test_values_are_escaped_in_json_and_numbers_stay_numbers() -> None:
    placeholders, made = full()
    text = json.dumps({"who": made[1], "number": int(made[-1])})
    assert json.loads(placeholders.restore(text, in_json=True)) == {
        "who": VALUES[1][1],
        "number": int(NUMBER),
    }
    assert placeholders.restore_number(-int(made[-1])) == -int(NUMBER)
    assert placeholders.restore_number(5) == 5
    assert placeholders.restore(f"1{made[-1]}") == f"1{made[-1]}"


def test_a_number_of_the_request_is_no_placeholder() -> None:
    taken = str(Placeholders().of_number(NUMBER))
    assert str(Placeholders([f"order {taken}"]).of_number(NUMBER)) != taken


PIECES = st.lists(st.one_of(st.sampled_from(full()[1]), st.text('aPERSON_1@9 {"x', max_size=6)), max_size=8)


@settings(max_examples=300, deadline=None)
@given(PIECES, st.lists(st.integers(0, 200), max_size=12), st.sampled_from([True, False, None]))
@example([full()[1][-1], "1"], [9], False)
@example(["NATIONAL_", full()[1][3]], [12], False)
def test_a_text_cut_at_any_places_comes_back_as_when_whole(
    parts: list[str], cuts: list[int], in_json: bool | None
) -> None:
    placeholders, _ = full()
    text = "".join(parts)
    ends = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    restorer = placeholders.pieces(in_json=in_json)
    out = [restorer.feed(text[a:b]) for a, b in pairwise(ends)]
    as_json = in_json if in_json is not None else bool(begins_like_json(text))
    assert "".join(out) + restorer.finish() == placeholders.restore(text, in_json=as_json)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(range(len(VALUES))), st.text("abcXYZ ,.", max_size=5)), max_size=8))
def test_what_was_written_comes_back(parts: list[int | str]) -> None:
    placeholders, made = full()
    masked = "".join(made[p] if isinstance(p, int) else p for p in parts)
    written = "".join(VALUES[p][1] if isinstance(p, int) else p for p in parts)
    assert placeholders.restore(masked) == written


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (r"Dear PERSON\_1a,", "Dear Anna,"),
        (r"<email\_2a@masked.invalid>", "<anna+x@example.com>"),
        ("mailto:email_2a%40masked.invalid?x=1", "mailto:anna%2Bx%40example.com?x=1"),
        ("PERSON_1as", "Annas"),
        (r'{"a": "PERSON\u005f1a"}', '{"a": "Anna"}'),
        (r'{"a": "email\u005F2a@masked.invalid, person\u005f1a"}', '{"a": "anna+x@example.com, Anna"}'),
        (r'{"a": "{\"b\": \"PERSON\\u005f1a\"}"}', r'{"a": "{\"b\": \"Anna\"}"}'),
        (r"PERSON\u005f1 PERSON\u005f12a", r"PERSON\u005f1 PERSON\u005f12a"),
        ("PERSON-1a, PERSON_1, person_2a", "PERSON-1a, PERSON_1, person_2a"),
        ("[PERSON_3a](x)", '[Kim "K" Hill](x)'),
        ('["PERSON_3a"]', '["Kim \\"K\\" Hill"]'),
        ('{ "a": "PERSON_3a"', '{ "a": "Kim \\"K\\" Hill"'),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_forms_that_models_write_are_known_however_the_text_is_cut(said: str, meant: str, size: int) -> None:
    placeholders = Placeholders()
    placeholders.of("PERSON", "Anna")
    placeholders.of("EMAIL_ADDRESS", "anna+x@example.com")
    placeholders.of("PERSON", 'Kim "K" Hill')
    pieces = placeholders.pieces(in_json=None)
    made = "".join(pieces.feed(said[at : at + size]) for at in range(0, len(said), size)) + pieces.finish()
    assert made == meant


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_value_with_quotes_in_json_in_json_comes_back(depth: int, size: int) -> None:
    """A model that passes a JSON text as an argument escapes it once more; so are the values."""
    value = 'Kim "K" Hill \\ C:\\new\nline'
    placeholders = Placeholders()
    said: Any = {"quote": 'they "say"', "who": placeholders.of("PERSON", value)}
    for _ in range(depth):
        said = {"body": json.dumps(said)}
    text = json.dumps(said)
    pieces = placeholders.pieces(in_json=None)
    made = "".join(pieces.feed(text[at : at + size]) for at in range(0, len(text), size)) + pieces.finish()
    assert made == placeholders.restore(text, in_json=True)
    found = json.loads(made)
    for _ in range(depth):
        found = json.loads(found["body"])
    assert found == {"quote": 'they "say"', "who": value}


def test_only_what_may_become_a_placeholder_waits() -> None:
    restorer = full()[0].pieces(in_json=False)
    assert (restorer.feed("Dear PER"), restorer.holds) == ("Dear ", True)
    assert (restorer.feed("SON_1a, hi!"), restorer.holds) == ("Anna Miller, hi!", False)
