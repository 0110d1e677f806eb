"""A rule: a pattern for one type of personal data; and the parts that patterns share.

References:
    The gaps of Presidio's recognizers that the rules fill are measured by benchmarks/privacy.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class Rule(NamedTuple):
    """A pattern for one type. The value is group `v`, or the whole match; `fits` has the last word."""

    type: str
    pattern: re.Pattern[str]
    score: float
    needs: str = ""
    """Words that a text must contain before the pattern is tried, in any case; "#": a digit. Alternatives are separated by '|'."""
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
