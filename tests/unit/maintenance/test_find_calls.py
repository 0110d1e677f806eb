"""Calls of a person, of a run, of a conversation, and those in which a text stands."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.records import Call
from deputize.maintenance.find_calls import Wanted, find_calls, text_finder


def said(id: str, text: str = "hello", **fields: Any) -> Call:
    return Call(id=id, messages=[{"role": "user", "content": text}], response={}, **fields)


CALLS = [
    said("m1", "I am Mia", origin="o_mia", episode="run-1"),
    said("m2", "her next step, without a header", episode="run-1"),
    said("n1", "somebody else in the same run", origin="o_nora", episode="run-1"),
    said("m3", "to be gone on with", origin="o_mia", response_id="resp_1"),
    said("n2", "goes on", origin="o_nora", response_id="resp_2", params={"previous_response_id": "resp_1"}),
    said("n3", "and on", origin="o_nora", params={"previous_response_id": "resp_2"}),
    said("x1", "nobody says who", episode=""),
]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(origin="o_mia"), {"m1", "m2", "m3", "n2", "n3"}),
        (Wanted(origin="o_nobody"), set()),
        (Wanted(episodes=("run-1",)), {"m1", "m2", "n1"}),
        (Wanted(conversation="resp_2"), {"n2", "n3"}),
        (Wanted(texts=("somebody ELSE",)), {"n1"}),
        (Wanted(origin="o_mia", texts=("nobody says",)), {"m1", "m2", "m3", "n2", "n3", "x1"}),
    ],
)
def test_what_is_wanted_is_found(wanted: Wanted, ids: set[str]) -> None:
    found = find_calls(CALLS, wanted)
    assert found.call_ids == ids and found.n_looked_at == len(CALLS)


def test_the_episodes_of_a_person_are_told() -> None:
    assert find_calls(CALLS, Wanted(origin="o_mia")).episodes == {"run-1"}
    assert find_calls(CALLS, Wanted(texts=("Mia",))).episodes == set(), "the run is not all about her"


@pytest.mark.parametrize(
    "value",
    [
        {"content": "for  Mia\n TORRES, please"},
        [{"arguments": '{"name": "mia torres"}'}],
        {"arguments": '  {"name": "\\u004dia Torres"}'},
        {"content": 'it said {"name": "\\u004dia Torres"}'},
        {"Mia Torres": 1},
        "\uff2d\uff49\uff41 Torres",
        "M\u200bia\u200f Tor\u00adres",
        "&#77;ia&nbsp;Torres",
        "https://crm.example/?q=Mia+Torres&x=%20",
        "(Mia Torres's)",
        "[" * 100_000 + " Mia Torres",
        "[" * 900 + '"Mia Torres"' + "]" * 900,
    ],
)
def test_a_text_is_found_in_any_string_and_form(value: Any) -> None:
    assert text_finder(["Mia Torres"])(value)
    assert not text_finder(["Mia Torrez"])(value) and not text_finder([" "])(value)


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        ("Zoë", "Zoe\u0308"),
        ("Zoë Müller", "Zo&euml; M&uuml;ller"),
        ("Ali Yılmaz", "ALİ YILMAZ"),
        ("Straße", "STRASSE 5"),
        ("محمد علي", "مُحَمَّد عَلِيّ"),
        ("李明", "联系人李明先生"),
        ("मिया", "मिया को"),
        ("+44 7700 900123", "call +447700900123."),
        ("+447700900123", {"phone": 447700900123}),
        ("07700 900123", "(07700) 900-123"),
        ("+44 7700 900123", "+٤٤ ٧٧٠٠ ٩٠٠١٢٣"),
    ],
)
def test_a_text_is_found_as_other_people_and_programs_write_it(wanted: str, written: Any) -> None:
    assert text_finder([wanted])([written])


@pytest.mark.parametrize(
    ("wanted", "written"), [("Tim", "sometimes"), ("Ann", "announced by Anna"), ("9001234", "19001234")]
)
def test_a_part_of_a_word_is_not_the_word(wanted: str, written: str) -> None:
    assert not text_finder([wanted])(written)


@pytest.mark.parametrize("name", ["Tim", "Sage", "messages", "default", "chat"])
def test_what_only_our_own_fields_say_is_nobody(name: str) -> None:
    assert not find_calls(CALLS, Wanted(texts=(name,))).call_ids
    assert find_calls([said("a", f"hello {name}")], Wanted(texts=(name,))).call_ids == {"a"}
