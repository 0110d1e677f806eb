"""Splits a line into words, and a word into the hashed features that the default tagger's network reads.

A word is a run of letters with their marks, a run of digits, one mark of punctuation, or one character of a script that
is written without blanks (Han, Hiragana, Hangul); a run of Katakana is one word. Features are numbers of rows in tables
of vectors, so that no vocabulary has to be kept and no word is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

WORD_ROWS, AFFIX_ROWS, PART_ROWS, SHAPE_ROWS = 1 << 16, 1 << 15, 1 << 16, 1 << 10
"""Rows of the four tables."""
N_BOUNDARIES = 8
MAX_WORD = 32
"""Characters of a word that its parts are taken from; longer ones are keys and encoded data."""

_SINGLE = "\u3005\u3006\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
    "\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a03\u0a3c-\u0a4d\u0b01-\u0b03\u0b3c-\u0b4d\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200c\u200d"
)
_WORD = re.compile(
    rf"[{_SINGLE}]|[{_KATAKANA}]+|(?:[^\W\d_{_SINGLE}{_KATAKANA}]|[{_MARKS}])+|\d+|[^\s]",
)
_IS_SINGLE = re.compile(rf"[{_SINGLE}]")


class Features(NamedTuple):
    """The rows of one word in each of the tables."""

    word: int
    affixes: tuple[int, ...]
    parts: tuple[int, ...]
    shapes: tuple[int, ...]


def words_of(line: str) -> list[tuple[int, int]]:
    """[start, end) of each word of a line."""
    return [match.span() for match in _WORD.finditer(line)]


def boundaries_of(line: str, words: Sequence[tuple[int, int]]) -> list[int]:
    """For each word a number below N_BOUNDARIES: whether it starts and ends the line, and whether a blank is before
    it."""
    last = len(words) - 1
    return [
        (start == 0 or line[start - 1].isspace()) + 2 * (i == 0) + 4 * (i == last)
        for i, (start, _) in enumerate(words)
    ]


def feature_key(line: str, start: int, end: int) -> str:
    """The text that decides the features of a word: the word itself, for a single character its neighbours too."""
    if end - start == 1 and _IS_SINGLE.match(line, start):
        before = line[start - 1] if start else "\n"
        after = line[end] if end < len(line) else "\n"
        return before + line[start] + after
    return line[start:end]


def is_single_character(char: str) -> bool:
    """True for a character of a script without blanks that is a word of its own."""
    return _IS_SINGLE.match(char) is not None


def is_single(key: str) -> bool:
    """True for the key of one character of a script without blanks."""
    return len(key) == 3 and _IS_SINGLE.match(key, 1) is not None


def features_of(key: str) -> Features:
    """The features of a word from its key."""
    if is_single(key):
        return _of_single(key)
    word = key[:MAX_WORD]
    folded = word.lower()
    kind = _shape(word)
    affixes = [f"^{folded[:n]}" for n in (1, 2, 3, 4) if n < len(folded)]
    affixes += [f"{folded[-n:]}$" for n in (1, 2, 3, 4) if n < len(folded)]
    framed = f"<{folded}>"
    parts = [framed[i : i + n] for n in (3, 4, 5) for i in range(len(framed) - n + 1)]
    return Features(
        _row(folded, WORD_ROWS),
        tuple(_row(a, AFFIX_ROWS) for a in affixes) or (0,),
        tuple(_row(p, PART_ROWS) for p in parts) or (0,),
        (
            _row(f"s{kind}", SHAPE_ROWS),
            _row(f"b{_block(word)}", SHAPE_ROWS),
            _row(f"n{min(len(word), 12)}", SHAPE_ROWS),
        ),
    )


def _of_single(key: str) -> Features:
    before, char, after = key[0], key[1], key[2]
    return Features(
        _row(char, WORD_ROWS),
        (_row(f"<{before}{char}", AFFIX_ROWS), _row(f"{char}{after}>", AFFIX_ROWS)),
        (_row(key, PART_ROWS),),
        (
            _row(f"b{_block(char)}", SHAPE_ROWS),
            _row(f"p{_block(before)}", SHAPE_ROWS),
            _row(f"q{_block(after)}", SHAPE_ROWS),
        ),
    )


def _row(text: str, rows: int) -> int:
    """A row from 1 on; row 0 stands for a feature that is left out."""
    return 1 + crc32(text.encode("utf-8", "surrogatepass")) % (rows - 1)


def _shape(word: str) -> str:
    """The case and kind of a word's characters, runs shortened: "Xx", "X", "xXx", "d", or the mark itself."""
    out: list[str] = []
    for char in word[:MAX_WORD]:
        kind = "X" if char.isupper() else "x" if char.isalpha() else "d" if char.isdigit() else char
        if len(out) < 2 or out[-1] != kind or out[-2] != kind:
            out.append(kind)
    return "".join(out[:8])


def _block(word: str) -> int:
    """A coarse number of the script of a word's first character."""
    return ord(word[0]) >> 7
