"""Candidates for an argument: what its schema allows and what stands in the prompt, always of the right type."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.listed_tools import ListedArgument
from deputize.specialists.listed_values import MAX_CANDIDATES, PromptPieces, candidates, fits, pieces_of

TEXT = 'Book 3 rooms in New York, NY for "Anna Berg" from -2.5 to 1,200, with tea, milk and dark sugar.'


def values(text: str = TEXT, **given: Any) -> list[Any]:
    argument = ListedArgument(**{"name": "x", "type": "string", "required": True, **given})
    return [one.value for one in candidates(argument, PromptPieces(text))]


def test_texts_are_copied_as_they_stand() -> None:
    found = values()
    assert {"New York", "New York, NY", "Anna Berg", "tea", "dark sugar"} <= set(found)
    assert "rooms in" not in found and "for" not in found
    assert "Nicole Kay" in values("call nicole kay"), "names without capitals"


def test_numbers_are_of_the_type_asked_for() -> None:
    assert set(values(type="integer")) == {3, 1200} and all(type(v) is int for v in values(type="integer"))
    assert {-2.5, 3} <= set(values(type="number"))
    assert values("two of them", type="integer") == [2]


def test_what_the_schema_allows_comes_from_the_schema() -> None:
    assert values(choices=["C", "F"]) == ["C", "F"]
    assert values(type="boolean", required=False) == [None, True, False], "None: left out"
    assert values(type="integer", default=7)[0] == 7 and "any" in values(description="Use 'any' for all.")
    assert values(type="any") == []


def test_lists_are_copied_with_their_members() -> None:
    assert ["tea", "milk", "dark sugar"] in values(type="array", items="string")
    assert [
        v for v in values("only b and a", type="array", items="string", choices=["a", "b", "c"]) if len(v) > 1
    ] == [["a", "b"]]


KINDS = st.sampled_from(["string", "integer", "number", "boolean", "array"])


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), KINDS, st.sampled_from(["string", "integer", "number"]), st.booleans())
def test_every_candidate_keeps_the_schema(text: str, type_: str, items: str, required: bool) -> None:
    argument = ListedArgument(
        "x", type_, required, "in the form YYYY-MM-DD", None, items if type_ == "array" else ""
    )
    found = candidates(argument, pieces_of(text), before=["a", 1, 2.5, True, ["b"]])
    schema = {"type": type_, **({"items": {"type": items}} if type_ == "array" else {})}
    assert len(found) <= MAX_CANDIDATES
    for one in found:
        if one.source != "absent":
            assert fits(argument, one.value)
            jsonschema.validate(one.value, schema)
    assert required or found[0].source == "absent"
