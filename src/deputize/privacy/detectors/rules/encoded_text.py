"""Words in which a text is encoded (base64, hexadecimal) that a detector finds something in once it is decoded."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{14,4000}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
MIN_READABLE = 0.9
"""Share of printable characters from which the decoded bytes count as text."""


def encoded_intervals(text: str, is_personal: Callable[[str], bool]) -> list[tuple[int, int]]:
    """[start, end) of each word that decodes to a text in which there are personal data."""
    return [
        match.span()
        for match in _TOKEN.finditer(text)
        if (plain := decoded(match.group())) and is_personal(plain)
    ]


def decoded(token: str) -> str:
    """The text that a word encodes; "" where it is none."""
    if _HEX.fullmatch(token) and (plain := _readable(bytes.fromhex(token))):
        return plain
    if token.isdigit() or (token.isalpha() and (token.islower() or token.isupper() or token.istitle())):
        return ""
    bare = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(bare + "=" * (-len(bare) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _readable(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    n_printable = sum(c.isprintable() or c.isspace() for c in text)
    return text if len(text) >= 6 and n_printable >= MIN_READABLE * len(text) else ""
