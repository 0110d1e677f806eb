"""The verification detector: forms of tokens that still look like an identifier or a secret."""

from __future__ import annotations

import base64

import pytest

from deputize.privacy.detectors.verification import VerificationDetector


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ask bob (at) gmail (dot) com", "EMAIL_ADDRESS"),
        ("write <ann@corp.com>", "EMAIL_ADDRESS"),
        ("call five five five one two three four", "PHONE_NUMBER"),
        ("card 4111-1111-1111-1111.", "CREDIT_CARD"),
        ("no 123-45-6789", "US_SSN"),
        ("to DE89370400440532013000", "IBAN_CODE"),
        ("key q7Rk2Lm9Xz4Tv8Bn3Wp6Yd1H", "API_KEY"),
        (f"by {base64.b64encode(b'Ann Marie Lee').decode()}", "PERSON"),
        ("mail an\u200bn@corp.com", "EMAIL_ADDRESS"),
    ],
)
def test_what_still_looks_personal(text: str, kind: str) -> None:
    (spans,) = VerificationDetector().detect([text])
    assert [s.type for s in spans] == [kind]


@pytest.mark.parametrize(
    "text", ["", "please book seat 12A", "see /usr/lib/python3/site", "ABCDEFGHIJKLMNOPQRSTUVWX"]
)
def test_what_does_not(text: str) -> None:
    assert VerificationDetector().detect([text]) == [[]]
