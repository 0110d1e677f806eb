"""How many strings of JSON a place in a text is in: a string that holds JSON holds strings again, each escaped once
more. Pure."""

from __future__ import annotations

import re

MAX_DEPTH = 6
"""Strings in strings beyond this are taken for plain text."""
_HEX_DIGITS = 4
_PLAIN = re.compile(r'[^"\\]+')
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class JsonDepth:
    """Follows a JSON text that comes in pieces."""

    def __init__(self, level: int = 1) -> None:
        """
        Args:
            level: of the strings of this text: 1 for those of a body, 2 for those of a text in one of these.
        """
        self._level = level
        self._is_in_string = False
        self._escape = ""
        """What came of an escaped character: a backslash, or that, "u" and some of its digits."""
        self._inner: JsonDepth | None = None
        """Follows what the open string holds, while that looks like JSON."""
        self._holds_nothing = True

    @property
    def depth(self) -> int:
        """Strings that the place after what came is in."""
        if not self._is_in_string:
            return 0
        return 1 + (self._inner.depth if self._inner is not None else 0)

    def feed(self, text: str) -> None:
        """Goes on by a piece of the text."""
        at = 0
        while at < len(text):
            plain = None if self._escape else _PLAIN.match(text, at)
            if plain is not None:
                if self._is_in_string:
                    self._hold(plain.group())
                at = plain.end()
                continue
            self._mark(text[at])
            at += 1

    def _mark(self, char: str) -> None:
        """Goes on by a quote, a backslash, or a character after one."""
        if self._escape:
            self._escape += char
            if self._escape[1] == "u" and len(self._escape) < 2 + _HEX_DIGITS:
                return
            escaped, self._escape = self._escape[1:], ""
            self._hold(_character(escaped))
        elif char == "\\":
            self._escape = char if self._is_in_string else ""
        else:
            self._is_in_string = not self._is_in_string
            self._inner, self._holds_nothing = None, True

    def _hold(self, text: str) -> None:
        """Goes on by a part of what the open string holds."""
        if self._holds_nothing and text.strip():
            self._holds_nothing = False
            if text.lstrip()[0] in "{[" and self._level < MAX_DEPTH:
                self._inner = JsonDepth(self._level + 1)
        if self._inner is not None:
            self._inner.feed(text)


def _character(escaped: str) -> str:
    """The character that an escape stands for; what is no number after a "u" stands for nothing in particular."""
    if escaped[0] != "u":
        return _ESCAPED.get(escaped, escaped)
    try:
        return chr(int(escaped[1:], 16))
    except ValueError:
        return "u"
