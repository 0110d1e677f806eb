"""The detector of the verification pass: what still looks like an identifier or a secret after replacement.

It shares no pattern with our rules or Presidio on purpose: it judges the form of single tokens and decodes common ways
to hide one.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from deputize.privacy.check_digits import is_iban, is_luhn
from deputize.privacy.detectors.base import Span

_TOKEN = re.compile(r"\S+")
_SPELLED_MAIL = re.compile(
    r"(?i)\b[\w.]{2,30}\s?[\[({<]\s?at\s?[\])}>]\s?[\w-]{2,30}\s?(?:[\[({<]\s?dot\s?[\])}>]|\.)\s?[a-z]{2,10}\b"
)
_SPELLED_DIGITS = re.compile(
    r"(?i)\b(?:(?:zero|one|two|three|four|five|six|seven|eight|nine|oh)[\s,-]+){6,}(?:zero|one|two|three|four|five|six|seven|eight|nine|oh)\b"
)
_LABELLED = re.compile(
    r"(?i:\b(?:born|dob|geb\.|née? le|nacid[oa]|nascid[oa]|ur\.|doğum)|出生|生年月日|الميلاد|जन्म)[^\d\n]{0,18}(?P<birth>\d{1,4}[^\w\n]{1,2}\w{1,12}[^\w\n]{1,4}(?:de )?\d{2,4})"
    r"|(?i:\b(?:ssn|passport|pass(?:eport|aporte|aporto)|reisepass|dni|cpf|pesel|nir|tckn?|aadhaar|national id|tax id)\b|身份证|护照|マイナンバー|الهوية|आधार)[^\w\n]{0,3}(?:(?:no|nr|number|is)\b[^\w\n]{0,3})?(?P<id>[A-Z]{0,3}\d[\d .-]{4,20}[\dA-Z])"
    r"|(?i:\b(?:phone|tel|telefon|téléphone|teléfono|telefone|mobile|handy|cep)\b|电话|電話|هاتف|फ़ोन)[^\w\n+(]{0,4}(?P<phone>[+(]?\d[\d ().-]{6,18}\d)"
)
"""What stands after a word that names it; written apart from the rules, so that a gap of theirs is seen."""
_LEFT_TYPES = {"birth": "DATE_OF_BIRTH", "id": "NATIONAL_ID", "phone": "PHONE_NUMBER", "": "NATIONAL_ID"}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_PUNCTUATION = ".,;:!?()[]{}<>\"'`*|"
MIN_SECRET_CHARS, MIN_SECRET_BITS = 20, 3.7
"""A secret has at least this many characters and bits of entropy per character (English words have about 3)."""


class VerificationDetector:
    """Judges tokens between white space by their form: mail, card, bank account, key; and text in which one is
    hidden."""

    name = "verification"

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> list[Span]:
        out = [Span("EMAIL_ADDRESS", *m.span(), 0.7, self.name) for m in _SPELLED_MAIL.finditer(text)]
        out += [Span("PHONE_NUMBER", *m.span(), 0.7, self.name) for m in _SPELLED_DIGITS.finditer(text)]
        out += [
            Span(_LEFT_TYPES[m.lastgroup or ""], *m.span(m.lastgroup or 0), 0.7, self.name)
            for m in _LABELLED.finditer(text)
            if _is_left(m)
        ]
        for match in _TOKEN.finditer(text):
            raw = match.group()
            bare = raw.strip(_PUNCTUATION)
            if len(bare) < 6:
                continue
            kind = _type_of_token(_normalised(bare))
            if kind:
                start = match.start() + raw.index(bare)
                out.append(Span(kind, start, start + len(bare), 0.7, self.name))
        return out


def _is_left(match: re.Match[str]) -> bool:
    value = match[match.lastgroup or 0]
    return (
        sum(c.isdigit() for c in value) >= 5 and not re.fullmatch(r"(?:19|20)\d\d.\d\d?.\d\d?", value)
    ) or match.lastgroup == "birth"


def _normalised(token: str) -> str:
    """The token as it looks: without invisible characters and marks around it, with compatible characters folded."""
    if not token.isascii():
        token = unicodedata.normalize("NFKC", token).translate(_INVISIBLE)
    return token.strip(_PUNCTUATION)


def _type_of_token(token: str) -> str:
    name, at, domain = token.partition("@")
    if (
        at
        and name
        and "." in domain.strip(".")
        and " " not in token
        and len(domain) > 3
        and domain[0].isalnum()
    ):
        return "EMAIL_ADDRESS"
    digits = [c for c in token if c.isdigit()]
    if digits:
        rest = [c for c in token if not c.isdigit()]
        if all(c in "-." for c in rest):
            if len(digits) >= 13 and is_luhn(token):
                return "CREDIT_CARD"
            if [len(p) for p in token.split("-")] == [3, 2, 4]:
                return "US_SSN"
        if is_iban(token):
            return "IBAN_CODE"
    if len(token) >= MIN_SECRET_CHARS and _is_secret(token):
        return "API_KEY"
    if len(token) >= 12 and len(token) % 4 == 0 and _is_encoded_text(token):
        return "PERSON"
    return ""


def _is_secret(token: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9+/_=-]+", token) or ("/" in token[1:-1] and token.count("/") > 2):
        return False
    classes = (
        any(c.islower() for c in token),
        any(c.isupper() for c in token),
        any(c.isdigit() for c in token),
    )
    parts = re.split(r"[-_]", token)
    if not all(classes) or max(map(len, parts)) < 16:
        return False
    changes = sum(a.isdigit() != b.isdigit() or a.isupper() != b.isupper() for a, b in pairwise(token))
    return changes >= len(token) / 4 and _bits(token) >= MIN_SECRET_BITS


def _bits(token: str) -> float:
    n = len(token)
    return -sum(c / n * math.log2(c / n) for c in Counter(token).values())


def _is_encoded_text(token: str) -> bool:
    """True where a token is the base64 form of a name or of an address."""
    if not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", token) or (
        token.isalpha() and (token.islower() or token.isupper() or token.istitle())
    ):
        return False
    try:
        decoded = base64.b64decode(token, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(re.fullmatch(r"[A-Z][a-z]+(?: [A-Z][a-z]+)+|[\w.]+@[\w.]+", decoded))
