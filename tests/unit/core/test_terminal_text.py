"""Text that does nothing to a terminal."""

from __future__ import annotations

import json

import pytest

from deputize.core.terminal_text import plain, plain_json, plain_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is\n\t", "as it is\n\t"),
        ("\x1b[2J", "\u241b[2J"),
        ("a\u202eb\u2066c", "abc"),
        ("\x9b\x7f", "\ufffd\u2421"),
        ("half \udcff", "half \ufffd"),
    ],
)
def test_signs_that_steer_are_shown_or_left_out(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_line_stays_one() -> None:
    assert plain_line("a\nb\tc\x1b") == "a\u240ab\tc\u241b"


def test_json_says_the_same() -> None:
    text = "\x7f\x9b\u202e\u2028\u2067 ä 中"
    written = plain_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(written) == text and "ä 中" in written
    assert not set(text[:5]) & set(written)
