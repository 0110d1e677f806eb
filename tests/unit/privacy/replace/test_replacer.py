"""Finding values in texts without a pattern for each: the same places as with one."""

from __future__ import annotations

import re

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from deputize.privacy.replace.replacer import (
    MAX_LINEAR_SEARCH,
    SubstringSearch,
    occurrences_of_number,
    value_intervals,
)

GAP = r"[ \t\u00a0().-]{0,3}"
SOUP = st.text("12 .-()a+\tx", max_size=40)


def by_pattern(text: str, core: str, lead: str) -> list[tuple[int, int]]:
    before = f"(?:{GAP.join(lead)}{GAP})?" if lead else ""
    return [m.span("core") for m in re.finditer(rf"(?<!\d){before}(?P<core>{GAP.join(core)})(?!\d)", text)]


@given(SOUP, st.text("12", min_size=1, max_size=4), st.text("12", max_size=2))
@example("+12125550188 and (212) 555-0188, not 92125550188", "2125550188", "1")
@example("1 (212) 555 0188 2125550188", "2125550188", "1")
@settings(max_examples=400, deadline=None)
def test_numbers_are_found_where_a_pattern_finds_them(text: str, core: str, lead: str) -> None:
    assume((lead + core).find(core) == len(lead))  # a country code that looks like the number's own start
    assert occurrences_of_number(text, core, lead) == by_pattern(text, core, lead)
    assert occurrences_of_number(f"é{text}", core, lead) == [
        (a + 1, b + 1) for a, b in by_pattern(text, core, lead)
    ]


def edged(value: str) -> str:
    left = r"(?<![^\W_])" if value[:1].isalnum() else ""
    right = r"(?![^\W_])" if value[-1:].isalnum() else ""
    return left + re.escape(value) + right


@given(
    st.text("abAB_. 1é", max_size=30),
    st.lists(st.text("abAB_. 1", min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
)
@settings(max_examples=400, deadline=None)
def test_values_are_found_where_a_pattern_finds_them(text: str, values: list[str]) -> None:
    values.sort(key=lambda v: (-len(v), v))
    pattern = re.compile("|".join(map(edged, values)), re.IGNORECASE)
    assert value_intervals(text, values) == [m.span() for m in pattern.finditer(text)]


@given(
    st.lists(st.text("abAB12 -é", max_size=9), max_size=20),
    st.lists(st.text("abAB12 -é", min_size=1, max_size=60), min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_many_values_are_found_as_few_are(values: list[str], texts: list[str]) -> None:
    """With so many that they are looked for by a piece of each: those that stand there, in their order, no other."""
    many = [
        *values,
        *(f"none of {i} is there" for i in range(MAX_LINEAR_SEARCH + 1)),
        texts[0][:3],
        texts[0][1:7],
    ]
    among = SubstringSearch(many)
    for text in texts:
        assert among(text) == [value for value in many if value in text]
