"""Rules for names, dates of birth, addresses, job titles and organisations."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.people_and_places import PEOPLE_AND_PLACE_RULES
from deputize.privacy.detectors.rules.rule_detector import RuleDetector


def found(text: str) -> set[tuple[str, str]]:
    (spans,) = RuleDetector(PEOPLE_AND_PLACE_RULES).detect([text])
    return {
        (s.type, text[s.start : s.end])
        for s in spans
        if s.type in {rule.type for rule in PEOPLE_AND_PLACE_RULES}
    }


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("DATE_OF_BIRTH", "born on 1980-02-03", "1980-02-03"),
        ("STREET_ADDRESS", "at 12 Oak Street, Springfield", "12 Oak Street, Springfield"),
        ("STREET_ADDRESS", "Bahnhofstraße 12", "Bahnhofstraße 12"),
        ("PERSON", "Patient: Olga Ivanova", "Olga Ivanova"),
        ("PERSON", "ask Dr. Lee", "Dr. Lee"),
        ("JOB_TITLE", "our Senior Data Engineer", "Senior Data Engineer"),
        ("ORGANIZATION", "at Acme Industries", "Acme Industries"),
    ],
)
def test_what_the_rules_find(kind: str, text: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize("text", ["Customer: Premium Support", "the street is long", "born to run"])
def test_what_they_leave_alone(text: str) -> None:
    assert found(text) == set()
