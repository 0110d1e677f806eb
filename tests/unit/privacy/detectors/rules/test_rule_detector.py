"""The detectors over all rules: phones by shape and context, names by gazetteer, secrets alone."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules import RULES, RuleDetector, SecretDetector
from deputize.privacy.entity_types import SECRET

pytest.importorskip("phonenumbers")
pytest.importorskip("faker")


def found(text: str) -> dict[str, str]:
    (spans,) = RuleDetector().detect([text])
    return {s.type: text[s.start : s.end] for s in spans}


def test_phones() -> None:
    assert found("call +1 212 555 0188 now")["PHONE_NUMBER"] == "+1 212 555 0188"
    assert found("my phone: 5550188")["PHONE_NUMBER"] == "5550188"
    assert "PHONE_NUMBER" not in found("order 5550188") and "PHONE_NUMBER" not in found("on 2024-05-15")


def test_names_by_gazetteer_and_dates_with_their_clock() -> None:
    assert found("so Olga Smith came")["PERSON"] == "Olga Smith"
    assert found("at 2024-05-15T12:30:00Z")["DATE_TIME"] == "2024-05-15T12:30:00Z"


def test_secrets_alone() -> None:
    text = "password: hunter2! by ann.lee@corp.com"
    (spans,) = SecretDetector().detect([text])
    assert {s.type for s in spans} == {"PASSWORD"} and {s.detector for s in spans} == {"secrets"}
    assert {rule.type for rule in RULES} > SECRET
