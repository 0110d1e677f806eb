"""Rules for medications and health conditions."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.health import HEALTH_RULES
from deputize.privacy.detectors.rules.rule_detector import RuleDetector


def found(text: str) -> set[tuple[str, str]]:
    (spans,) = RuleDetector(HEALTH_RULES).detect([text])
    return {(s.type, text[s.start : s.end]) for s in spans if s.type in {rule.type for rule in HEALTH_RULES}}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("MEDICATION", "takes Lisinopril 10 mg", "Lisinopril 10 mg"),
        ("MEDICATION", "on atorvastatin", "atorvastatin"),
        ("HEALTH_CONDITION", "has type 2 diabetes", "type 2 diabetes"),
        ("HEALTH_CONDITION", "acute bronchitis", "bronchitis"),
        ("HEALTH_CONDITION", "ICD-10: E11.9", "E11.9"),
    ],
)
def test_what_the_rules_find(kind: str, text: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text", ["the diagnosis is open", "a diploma from Oklahoma", "medication: reminders"]
)
def test_what_they_leave_alone(text: str) -> None:
    assert found(text) == set()
