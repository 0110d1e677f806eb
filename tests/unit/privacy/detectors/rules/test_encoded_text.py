"""Words that hold an encoded text."""

from __future__ import annotations

import base64

import pytest

from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.rules.encoded_text import decoded

MAIL = "perpetua.q7@corp.example.com"


@pytest.mark.parametrize(
    "token",
    [
        base64.b64encode(MAIL.encode()).decode(),
        base64.b64encode(MAIL.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(f"mail={MAIL}".encode()).decode(),
        MAIL.encode().hex(),
    ],
)
def test_found_once_decoded(token: str) -> None:
    text = f"see {token} please"
    spans = [s for s in RuleDetector().detect([text])[0] if s.type == "ENCODED_TEXT"]
    assert [text[s.start : s.end] for s in spans] == [token]


def test_words_and_random_bytes_are_no_text() -> None:
    assert decoded("internationalisation") == "" and decoded("9f86d081884c7d659a2feaa0c55ad015") == ""
