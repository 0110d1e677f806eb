"""Splits a line into the pieces that the default tagger's encoder reads, and says which words each of them belongs to.

Pieces are those of the encoder's unigram vocabulary. A word of letters or digits, or a mark, is split by itself;
characters of scripts without blanks that follow each other are split together, so that one piece may hold several of
them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from deputize.privacy.tagger.default.pieces import WORD_START, PieceVectors
from deputize.privacy.tagger.default.words import MAX_WORD, is_single_character

MAX_PIECE = 8
"""Characters of a piece in a script without blanks."""
MAX_RUN = 64
"""Characters that are split together."""
N_FORMS = 6
KEPT_WORDS = 100_000

Word = tuple[int, int]


class LinePieces(NamedTuple):
    """The pieces of a line; P in all."""

    rows: list[int]
    """Row of each piece in the table of vectors; 0 for one that is not in the vocabulary."""
    forms: list[int]
    """Form of the word that each piece comes from: below N_FORMS."""
    words: list[Word]
    """[first, end) of the numbers of the words that each piece belongs to."""


class LineSplitter:
    """Splits lines with the vocabulary of a table of pieces."""

    def __init__(self, pieces: PieceVectors) -> None:
        self._pieces = pieces
        self._known: dict[str, tuple[list[int], int]] = {}

    def split(self, line: str, words: Sequence[Word]) -> LinePieces:
        """The pieces of a line.

        Args:
            line: any text.
            words: [start, end) of its words, from words_of.
        """
        out = LinePieces([], [], [])
        at = 0
        while at < len(words):
            start, end = words[at]
            if end - start == 1 and is_single_character(line[start]):
                upto = at + 1
                while (
                    upto < min(len(words), at + MAX_RUN)
                    and words[upto][0] == words[upto - 1][1]
                    and words[upto][1] - words[upto][0] == 1
                    and is_single_character(line[words[upto][0]])
                ):
                    upto += 1
                self._add_run(out, line[start : words[upto - 1][1]], at)
                at = upto
            else:
                glued = start > 0 and not line[start - 1].isspace()
                rows, form = self._of_word(line[start:end] if glued else WORD_START + line[start:end])
                out.rows.extend(rows)
                out.forms.extend([form] * len(rows))
                out.words.extend([(at, at + 1)] * len(rows))
                at += 1
        return out

    def _add_run(self, out: LinePieces, run: str, at: int) -> None:
        folded = "".join(n if len(n := unicodedata.normalize("NFKC", c)) == 1 else c for c in run)
        for row, size in self._pieces.split(folded, MAX_PIECE):
            out.rows.append(row)
            out.forms.append(0)
            out.words.append((at, at + size))
            at += size

    def _of_word(self, key: str) -> tuple[list[int], int]:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT_WORDS:
                self._known.clear()
            word = unicodedata.normalize("NFKC", key.removeprefix(WORD_START)[:MAX_WORD])
            written = word.capitalize() if len(word) > 3 and word.isupper() else word
            start = WORD_START if key.startswith(WORD_START) else ""
            rows = [row for row, _ in self._pieces.split(start + written)]
            found = self._known[key] = rows, form_of(word)
        return found


def form_of(word: str) -> int:
    """A number for the case and kind of a word: 1 small, 2 capitalised, 3 capitals, 4 mixed, 5 digits, 0 else."""
    if word.islower():
        return 1
    if word.isupper():
        return 3 if len(word) > 1 else 2
    if word.istitle():
        return 2
    if word.isdigit():
        return 5
    return 4 if any(c.isupper() for c in word) else 0
