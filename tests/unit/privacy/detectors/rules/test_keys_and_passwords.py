"""Rules for secrets."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.keys_and_passwords import SECRET_RULES
from deputize.privacy.detectors.rules.rule_detector import RuleDetector


def found(text: str) -> set[tuple[str, str]]:
    (spans,) = RuleDetector(SECRET_RULES).detect([text])
    return {(s.type, text[s.start : s.end]) for s in spans if s.type in {rule.type for rule in SECRET_RULES}}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("API_KEY", "use sk-proj-a1B2c3D4e5F6g7H8", "sk-proj-a1B2c3D4e5F6g7H8"),
        ("API_KEY", "AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("PASSWORD", "password: hunter2x", "hunter2x"),
        ("PASSWORD", "postgres://app:s3cr3t@db/x", "s3cr3t"),
        ("PASSWORD", "PIN: 4711", "4711"),
        ("API_KEY", "Authorization: Bearer abc123def456ghi789", "abc123def456ghi789"),
    ],
)
def test_what_the_rules_find(kind: str, text: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text", ["your password is incorrect", "password: required", "the token type is string", "PIN code"]
)
def test_what_they_leave_alone(text: str) -> None:
    assert found(text) == set()
