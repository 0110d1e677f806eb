"""Findings are remembered by line: a text that comes again, or a line in another text, is not looked at again."""

from __future__ import annotations

import pytest

from deputize.privacy.masking.found_values import FoundValues
from deputize.privacy.scan.ensemble import Finding

ANNA = Finding("PERSON", "Anna", 0.9)


def test_only_new_lines_are_asked_for() -> None:
    found = FoundValues()
    first = found.new_lines(["Anna came.\nShe left.", "Anna came."])
    assert first == [("Anna came.", True), ("She left.", True)]
    found.add(first, [(ANNA,), ()])
    assert found.findings(["Anna came.\nShe left."]) == [ANNA]
    assert found.new_lines(["She left.\nBob too."]) == [("Bob too.", True)]
    assert found.findings(["Anna came."]) == [ANNA]
    assert found.new_lines(["Anna came.\nShe left."]) == []


def test_a_line_that_was_not_looked_at_is_an_error_and_not_empty() -> None:
    with pytest.raises(KeyError):
        FoundValues().findings(["Anna came."])


def test_the_oldest_are_forgotten() -> None:
    found = FoundValues(max_remembered=4)
    for n in range(5):
        found.add([(f"line {n}", True)], [()])
    assert found.new_lines(["line 0", "line 4"]) == [("line 0", True)]


def test_large_values_are_forgotten_before_they_fill_the_memory() -> None:
    found = FoundValues(max_chars=10_000)
    for n in range(20):
        found.add([(f"line {n}", True)], [(Finding("URL", f"{n:02}" * 1000, 0.9),)])
    kept = [n for n in range(20) if not found.new_lines([f"line {n}"])]
    assert kept == [16, 17, 18, 19]
    found.add([("line 19", True)], [()])
    assert found.findings(["line 19"]) == [] and found.new_lines(["line 18"]) == []
    found.add([("long", True)], [(Finding("URL", "x" * 50_000, 0.9),)])
    assert found.new_lines(["long", "line 19"]) == [("line 19", True)], "the newest is there to be used"
