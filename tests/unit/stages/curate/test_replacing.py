"""Finding values in texts without a pattern for each: the same places as with one."""

from __future__ import annotations

import re

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from deputize.stages.curate.replacing import number_places, value_places

GAP = r"[ \t\u00a0().-]{0,3}"
SOUP = st.text("12 .-()a+\tx", max_size=40)


def by_pattern(text: str, core: str, lead: str) -> list[tuple[int, int]]:
    before = f"(?:{GAP.join(lead)}{GAP})?" if lead else ""
    return [m.span("core") for m in re.finditer(rf"(?<!\d){before}(?P<core>{GAP.join(core)})(?!\d)", text)]


@given(SOUP, st.text("12", min_size=1, max_size=4), st.text("12", max_size=2))
@example("+12125550188 and (212) 555-0188, not 92125550188", "2125550188", "1")
@example("1 (212) 555 0188 2125550188", "2125550188", "1")
@settings(max_examples=1500, deadline=None)
def test_numbers_are_found_where_a_pattern_finds_them(text: str, core: str, lead: str) -> None:
    assume((lead + core).find(core) == len(lead))  # a country code that looks like the number's own start
    assert number_places(text, core, lead) == by_pattern(text, core, lead)
    assert number_places(f"é{text}", core, lead) == [(a + 1, b + 1) for a, b in by_pattern(text, core, lead)]


def edged(value: str) -> str:
    left = r"(?<!\w)" if value[:1].isalnum() else ""
    right = r"(?!\w)" if value[-1:].isalnum() else ""
    return left + re.escape(value) + right


@given(
    st.text("abAB_. 1é", max_size=30),
    st.lists(st.text("abAB_. 1", min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
)
@settings(max_examples=1500, deadline=None)
def test_values_are_found_where_a_pattern_finds_them(text: str, values: list[str]) -> None:
    values.sort(key=lambda v: (-len(v), v))
    pattern = re.compile("|".join(map(edged, values)), re.IGNORECASE)
    assert value_places(text, values) == [m.span() for m in pattern.finditer(text)]
