"""Text that does nothing to a terminal but stand there. Pure."""

from __future__ import annotations


def plain(text: str) -> str:
    """Text for a terminal: control characters, such as those that begin an escape code, become visible signs; signs
    that change the direction of a line, or have no width, are left out."""
    return text.translate(_SHOWN)


def plain_line(text: str) -> str:
    """The same on one line, for a log in which each line is an entry: whoever chose the text adds no entry of their
    own."""
    return text.translate(_SHOWN_ON_A_LINE)


def plain_json(written: str) -> str:
    """JSON with escapes in place of the signs that steer a terminal, which JSON may hold as they are."""
    return written.translate(_ESCAPED)


_NO_CHARACTERS = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
"""Halves of characters, which no output can encode."""
_SHOWN = {
    **{code: 0x2400 + code for code in range(32) if code not in (0x09, 0x0A)},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys((0x200B, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F), *range(0x2060, 0x206A))),
    **_NO_CHARACTERS,
}
_SHOWN_ON_A_LINE = {**_SHOWN, 0x0A: 0x240A}
_ESCAPED = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *_NO_CHARACTERS)
}
