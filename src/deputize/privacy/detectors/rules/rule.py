"""A rule: a pattern for one type of personal data; and the parts that patterns share.

References:
    The gaps of Presidio's recognizers that the rules fill are measured by benchmarks/privacy.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Rule(NamedTuple):
    """A pattern for one type. The value is group `v`, or the whole match; `fits` has the last word."""

    type: str
    pattern: re.Pattern[str]
    score: float
    needs: str = ""
    """Words that a text must contain before the pattern is tried, in any case; "#": a digit; then alternatives,
    separated by '|'. "~": the alternatives are the first letters of words (`beginnings`), or scripts, as in "~@han"."""
    fits: Callable[[str], bool] | None = None


_LETTERS = [chr(c) for c in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))]

UPPER = "A-Z" + "".join(c for c in _LETTERS if c.isupper())

LOWER = "a-z" + "".join(c for c in _LETTERS if c.islower())

# possessive, each repeat opened by a mark or a capital: a long word that fails must fail at once
CAPITALISED_WORD = (
    rf"[{UPPER}](?:[{LOWER}]++|['’.])(?:[-'’](?!s\b)[{UPPER}]?[{LOWER}]++|[{UPPER}][{LOWER}]++)*+\.?"
)
"""A capitalised word of a name, an initial with its dot included."""

FULL_NAME = rf"{CAPITALISED_WORD}(?:[ \t\u00a0]+(?:(?:de|da|van|von|der|la|bin|al|del|di)[ \t]+)?{CAPITALISED_WORD}){{1,3}}"

GRAM_CHARS = 4
_SCRIPTS = (
    ("@han", re.compile(r"[\u4e00-\u9fff]")), ("@kana", re.compile(r"[\u3040-\u30ff]")), ("@hangul", re.compile(r"[\uac00-\ud7a3]")),
    ("@arabic", re.compile(r"[\u0600-\u06ff]")), ("@indic", re.compile(r"[\u0900-\u0d7f]")),
)  # fmt: skip


def beginnings(words: Iterable[str]) -> str:
    """The condition of a rule that looks for one of some words: that a text holds the first letters of one."""
    return "~" + "|".join(sorted({word.casefold()[:GRAM_CHARS] for word in words}))


def grams(folded: str) -> set[str]:
    """Every run of two to GRAM_CHARS characters of a text, and the scripts in it; of ASCII text without the runs of
    two."""
    out = {folded[i : i + n] for n in (3, GRAM_CHARS) for i in range(len(folded) - n + 1)}
    if not folded.isascii():
        out |= {folded[i : i + 2] for i in range(len(folded) - 1)}
        out |= {name for name, letters in _SCRIPTS if letters.search(folded)}
    return out


PLACEHOLDERS: frozenset[str] = frozenset([
    "string", "str", "int", "integer", "number", "none", "null", "true", "false", "required", "optional",
    "password", "secret", "token", "key", "value", "example", "redacted", "hidden", "admin", "root",
    "guest", "test", "username", "user", "name", "text", "type", "default", "changeme", "placeholder",
    "undefined", "unknown", "n/a", "na", "your", "the",
])  # fmt: skip
"""Words that stand where a value would be; no personal data."""

STATE_WORDS: frozenset[str] = frozenset([
    "wrong", "incorrect", "correct", "invalid", "valid", "expired", "missing", "needed", "mandatory", "weak",
    "strong", "reset", "changed", "change", "forgotten", "forgot", "forget", "unset", "empty", "blank", "hash",
    "hashed", "encrypted", "encoded", "plain", "field", "input", "form", "login", "success", "failed", "error",
    "please", "enter", "current", "new", "old", "same", "min", "minimum", "must", "should", "your", "this", "that",
    "account", "characters", "boolean", "varchar", "object", "array", "any", "sent", "shown", "stored", "saved",
    "updated", "here", "below", "above", "confirm", "confirmation", "protected",
])  # fmt: skip
"""What is said of a password, a user or a key instead of naming it."""

LINKS = r":=|[:=#]|=>|->|\b(?:is|was|are|lautet)\b"


def keyed(keys: str, value: str, links: str = LINKS) -> re.Pattern[str]:
    """`key: value`, `"key": "value"`, `KEY = value`, `key is value`, a key alone on its line above its value; the key
    may carry a prefix as in DB_PASS, quotes may be escaped."""
    return re.compile(
        rf"(?i:(?<![A-Za-z0-9])(?:[A-Za-z0-9]++[_-]|(?-i:[a-z]++(?=[A-Z]))){{0,3}}(?:{keys}))[\\\"'*\]]{{0,4}}[ \t\u00a0]*(?:(?:{links})[ \t\u00a0]*|:?[ \t\r]*\n[ \t]*)[\\\"'*]{{0,4}}(?P<v>{value})"
    )


def is_user_name(text: str) -> bool:
    return text.lower() not in PLACEHOLDERS and len(text) > 2


def has_digit(text: str) -> bool:
    return any(c.isdigit() for c in text)
