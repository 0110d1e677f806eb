"""Presidio's pattern recognizers as a detector: no language model, each text looked at only if it could hold a hit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from deputize.core.errors import MissingExtra
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.light_import import not_importable

THRESHOLD = 0.4
CONTEXT_CHARS = 50
CONTEXT_BONUS = 0.35

_TYPES = {
    "US_BANK_NUMBER": "BANK_ACCOUNT",
    "ABA_ROUTING_NUMBER": "BANK_ACCOUNT",
    "US_DRIVER_LICENSE": "DRIVER_LICENSE",
    "US_PASSPORT": "PASSPORT",
    "US_ITIN": "US_SSN",
    "UK_NHS": "NATIONAL_ID",
    "MEDICAL_LICENSE": "LICENSE_NUMBER",
    "US_MBI": "NATIONAL_ID",
    "UK_NINO": "NATIONAL_ID",
}
_RECOGNIZERS = (
    "CreditCardRecognizer", "CryptoRecognizer", "EmailRecognizer", "IbanRecognizer", "IpRecognizer",
    "MedicalLicenseRecognizer", "NhsRecognizer", "UkNinoRecognizer", "UsBankRecognizer", "UsItinRecognizer",
    "UsLicenseRecognizer", "UsMbiRecognizer", "UsPassportRecognizer", "UsSsnRecognizer",
    "MacAddressRecognizer",
)  # fmt: skip
"""All default English ones but phone, URL and date: phones and dates have a faster reader in rules, a URL is no
person."""

_WORTH = re.compile(r"\d|@|[13][a-km-zA-HJ-NP-Z1-9]{25}|::")


class PresidioDetector:
    """The recognizers of Presidio that need no language model.

    Weak patterns (a bare run of digits) count only with a word of their context before them on the same line, as in
    Presidio's own context enhancer.
    """

    name = "presidio"

    def __init__(self) -> None:
        """Raises MissingExtra where Presidio is not installed."""
        try:
            with not_importable("torch", "transformers"):
                from presidio_analyzer import predefined_recognizers as stock
            from tldextract.tldextract import TLD_EXTRACTOR
        except ImportError:
            raise MissingExtra.package("presidio-analyzer", "privacy") from None
        # its e-mail recognizer would fetch the list of public suffixes from the network; the list in the package will
        # do
        TLD_EXTRACTOR.suffix_list_urls = ()
        self._recognizers: list[Any] = [
            getattr(stock, name)() for name in _RECOGNIZERS if hasattr(stock, name)
        ]

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self._one(text) if _WORTH.search(text) else [] for text in texts]

    def _one(self, text: str) -> list[Span]:
        out: list[Span] = []
        for recognizer in self._recognizers:
            for hit in recognizer.analyze(text, recognizer.supported_entities, None) or ():
                score = hit.score
                if score < THRESHOLD and _in_context(text, hit.start, recognizer.context or ()):
                    score += CONTEXT_BONUS
                if score >= THRESHOLD:
                    kind = _TYPES.get(hit.entity_type, hit.entity_type)
                    out.append(Span(kind, hit.start, hit.end, min(1.0, score), self.name))
        return out


def _in_context(text: str, start: int, words: Sequence[str]) -> bool:
    before = text[max(0, start - CONTEXT_CHARS) : start].lower()
    return any(re.search(rf"\b{re.escape(word.lower())}\b", before) for word in words)
