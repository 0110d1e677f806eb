"""Text that does nothing to a terminal but stand there."""

from __future__ import annotations


def plain(text: str) -> str:
    """Text for a terminal: control characters, such as those that begin an escape code, become visible signs; signs that
    change the direction of a line, or have no width, are left out."""
    return text.translate(_SHOWN)


_SHOWN = {
    **{code: 0x2400 + code for code in range(32) if code not in (0x09, 0x0A)},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys((0x200B, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F), *range(0x2060, 0x206A))),
}
