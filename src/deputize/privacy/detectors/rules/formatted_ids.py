"""Rules for identifiers with a format of their own: mail, phone, card, bank account, addresses of machines."""

from __future__ import annotations

import re

from deputize.privacy.check_digits import digits_of, is_iban, is_luhn
from deputize.privacy.detectors.rules.rule import Rule, keyed


def _is_public_ip4(text: str) -> bool:
    parts = [int(p) for p in text.split(".")]
    return (
        all(p < 256 for p in parts)
        and text not in ("0.0.0.0", "127.0.0.1", "255.255.255.255")
        and parts[0] > 0
    )


FORMATTED_ID_RULES: tuple[Rule, ...] = (
    Rule("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.%+'-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,24}(?![\w@])"), 0.95, "@"),
    Rule("PHONE_NUMBER", re.compile(r"(?<![\w./-])(?:\+\d{2} ?\(?0?\)? ?[1-9]\d{1,4}|\(?0\d{2,4}\)?) ?/ ?\d{3,9}(?:[ -]\d{1,5}){0,2}(?![\w/])"), 0.75, "#"),
    Rule("US_SSN", re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), 0.9, "#"),
    Rule("US_SSN", keyed(r"ssn|social security(?: number| no\.?)?|itin", r"\d{3}[- ]?\d{2}[- ]?\d{4}(?!\d)", r":=|[:=#]|=>|\bis\b|\bwas\b|(?=\d)"), 0.95, "#"),
    Rule("EMAIL_ADDRESS", re.compile(r"\"[^\"\\\n<>]{1,64}\"@[\w-]+(?:\.[\w-]+)+|(?<![\w.+-])[\w.%+'-]{1,64}@\[[0-9a-fA-FIPv.:]{3,45}\]"), 0.95, "\"@|@["),
    Rule("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.+-]+%40[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,24}"), 0.95, "%40"),
    Rule("US_SSN", keyed(r"ssn|social security(?: number| no\.?)?", r"[\dlIOoSBZ]{3}-[\dlIOoSBZ]{2}-[\dlIOoSBZ]{4}(?!\w)", r":=|[:=#]|=>|\bis\b|(?=[\dlIOSBZ])"), 0.8, "#", lambda v: len(digits_of(v)) >= 5),
    Rule("CREDIT_CARD", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), 0.9, "#", is_luhn),
    Rule("IBAN_CODE", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)"), 0.95, "#", is_iban),
    Rule("IBAN_CODE", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: [A-Z0-9]{4}){3,7}(?!\w)|(?<!\w)[A-Za-z]{2}\d{2}[A-Za-z0-9]{11,30}(?!\w)"), 0.95, "#", is_iban),
    Rule("IP_ADDRESS", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"), 0.7, "#", _is_public_ip4),
    Rule("MAC_ADDRESS", re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])"), 0.95),
)  # fmt: skip
"""In the order in which they are tried."""
