"""Rules for identifiers with a format of their own."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.formatted_ids import FORMATTED_ID_RULES
from deputize.privacy.detectors.rules.rule_detector import RuleDetector


def found(text: str) -> set[tuple[str, str]]:
    (spans,) = RuleDetector(FORMATTED_ID_RULES).detect([text])
    return {
        (s.type, text[s.start : s.end]) for s in spans if s.type in {rule.type for rule in FORMATTED_ID_RULES}
    }


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("EMAIL_ADDRESS", "mail ann.lee@corp.com now", "ann.lee@corp.com"),
        ("EMAIL_ADDRESS", "to=ann.lee%40corp.com", "ann.lee%40corp.com"),
        ("EMAIL_ADDRESS", 'mail "ann lee"@corp.co.uk now', '"ann lee"@corp.co.uk'),
        ("EMAIL_ADDRESS", "mail ann.lee@[192.168.2.17]", "ann.lee@[192.168.2.17]"),
        ("US_SSN", "SSN 123-45-6789", "123-45-6789"),
        ("CREDIT_CARD", "card 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("IBAN_CODE", "to DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("IP_ADDRESS", "host 10.1.2.3", "10.1.2.3"),
        ("MAC_ADDRESS", "at 00:1A:2b:3c:4d:5e", "00:1A:2b:3c:4d:5e"),
    ],
)
def test_what_the_rules_find(kind: str, text: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text", ["card 4111 1111 1111 1112", "host 127.0.0.1", "version 1.2.3.4.5", "at 300.1.2.3"]
)
def test_what_they_leave_alone(text: str) -> None:
    assert found(text) == set()
