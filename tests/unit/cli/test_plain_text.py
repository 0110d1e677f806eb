"""Text that does nothing to a terminal."""

from __future__ import annotations

import pytest

from deputize.cli.plain_text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is\n\t", "as it is\n\t"),
        ("\x1b[2J", "\u241b[2J"),
        ("a\u202eb\u2066c", "abc"),
        ("\x9b\x7f", "\ufffd\u2421"),
    ],
)
def test_signs_that_steer_are_shown_or_left_out(text: str, shown: str) -> None:
    assert plain(text) == shown
