"""A text cut into pieces, whose runs are the values that a pointer can copy."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_PIECES = 6
"""Longest value, in pieces."""


_PIECE = re.compile(r"""[^\s,;:{}()\[\]"'<>|=/*`]+""")


_UPPER, _LOWER, _DIGIT = re.compile(r"[^\W\d_a-z]+"), re.compile(r"[^\W\d_A-Z]+"), re.compile(r"\d+")


class TokenizedText:
    """A text cut into pieces; values are runs of pieces on one line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[tuple[int, int]] = []
        for match in _PIECE.finditer(text):
            end = match.start() + len(match.group().rstrip(".!?"))
            if end > match.start():
                self.spans.append((match.start(), end))
        self.words = [text[a:b].lower() for a, b in self.spans]
        self.shapes = [shape_of(text[a:b]) for a, b in self.spans]
        self.gaps = [text[a[1] : b[0]] for a, b in zip(self.spans, self.spans[1:], strict=False)]
        self.breaks = ["\n" in gap for gap in self.gaps]
        starts = [text.rfind("\n", 0, a) + 1 for a, _ in self.spans]
        self.heads = [
            text[s : s + 40].split(":")[0].lower() if ":" in text[s : s + 40] else "" for s in starts
        ]

    def runs(self, lengths: Sequence[int]) -> list[tuple[int, int, str]]:
        """(first piece, piece after the last, shape) of every run on one line with one of these lengths."""
        out = []
        for i in range(len(self.spans)):
            shape = self.shapes[i]
            for j in range(i + 1, min(i + MAX_PIECES, len(self.spans)) + 1):
                if j > i + 1:
                    if self.breaks[j - 2]:
                        break
                    shape += shape_of(self.gaps[j - 2]) + self.shapes[j - 1]
                if j - i in lengths:
                    out.append((i, j, shape))
        return out

    def between(self, i: int, j: int) -> str:
        """The text of a run."""
        return self.text[self.spans[i][0] : self.spans[j - 1][1]]


def shape_of(text: str) -> str:
    """A text without its letters and digits: `LH-46698` and `AB-1` are both `A-0`."""
    text = re.sub(r"\s+", " ", text)
    if not text.isascii():  # é is a small letter like e
        text = "".join("a" if c.islower() else "A" if c.isalpha() else c for c in text)
    return _DIGIT.sub("0", _LOWER.sub("a", _UPPER.sub("A", text)))
