"""Rules for numbers of records, accounts and cases, and for user names."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.record_numbers import RECORD_NUMBER_RULES
from deputize.privacy.detectors.rules.rule_detector import RuleDetector


def found(text: str) -> set[tuple[str, str]]:
    (spans,) = RuleDetector(RECORD_NUMBER_RULES).detect([text])
    return {
        (s.type, text[s.start : s.end])
        for s in spans
        if s.type in {rule.type for rule in RECORD_NUMBER_RULES}
    }


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("MEDICAL_RECORD", "MRN: 00482913", "MRN: 00482913"),
        ("POLICY_NUMBER", "policy no 55120098", "55120098"),
        ("BANK_ACCOUNT", "account number: 12345678", "12345678"),
        ("PASSPORT", "passport: C01X00T47", "C01X00T47"),
        ("CASE_NUMBER", "docket 2021-CV-00123", "2021-CV-00123"),
        ("USERNAME", "ls /home/annlee/x", "annlee"),
        ("USERNAME", "username: ann_lee", "ann_lee"),
    ],
)
def test_what_the_rules_find(kind: str, text: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text", ["the policy is strict", "username: string", "ls /home/ubuntu/x", "user id is required"]
)
def test_what_they_leave_alone(text: str) -> None:
    assert found(text) == set()
