"""Segments of a prompt: lines, and sentences of long lines, as they stand, normalised, and by their `Label:` head.

A segment is looked up as it stands and then normalised (numbers, quoted strings and ids masked). A head stands for a
line of which only the value varies.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

LONG_LINE = 160
"""Characters from which a line is cut into sentences, so that a slot inside a paragraph does not hide the rest."""
MASK: Final = "⟨⟩"
"""The mark in the place of a value in a normalised segment."""

_VARYING: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r'|"[^"\n]*"|“[^”\n]*”|`[^`\n]*`'
    r"|(?<!\w)'[^'\n]*'(?!\w)"
    r"|(?<![A-Za-z0-9_-])[A-Za-z_-]*\d[\w-]*(?:[.,:/]\d+)*"
)
_MAY_VARY: Final = re.compile(r"[\d\"“`'-]")
"""A character without which nothing of `_VARYING` can match. Most segments hold none, and a search for one is quick."""
_SENTENCE: Final = re.compile(r"(?<=[.!?:;])\s+")
_HEAD: Final = re.compile(
    r"\W{0,4}(\w[^:=\n{}\[\]<>]{0,47}?)[\"'*_]{0,3}\s?(?::(?!//)|=)[*_]{0,2}(?:\s+|$|(?=[\"'\[{\d]))"
)
_HEAD_CHARS: Final = 57
"""Characters within which the colon or equals sign of a `_HEAD` stands."""
_MAX_HEAD_WORDS = 5
_AFTER_LABEL: Final = frozenset(["", " ", "\t", '"', "'", "[", "{"])


def normalise(segment: str) -> str:
    """A segment with what typically varies masked (numbers, words with digits, quoted strings, uuids), spaces
    folded."""
    if _MAY_VARY.search(segment) is not None:
        segment = _VARYING.sub(MASK, segment)
    return " ".join(segment.split())


def segments(text: str) -> list[str]:
    """The non-empty segments of a text in order, ends trimmed."""
    out: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        if len(line) > LONG_LINE:
            out.extend(line_segments(line))
        elif line:
            out.append(line)
    return out


def line_segments(line: str) -> list[str]:
    """The segments of one line that has no white space at its ends: the line itself, the sentences of a long one."""
    if len(line) > LONG_LINE:
        return [part for part in _SENTENCE.split(line) if part]
    return [line] if line else []


def known_head_of(segment: str, heads: Container[str]) -> str:
    """The head of a segment where it is one of `heads`; '' where not.

    Args:
        segment: a segment of a prompt.
        heads: known ones, as `head_of` gives them.
    """
    # a plain label is found without the pattern, in a fifth of the time
    at = segment.find(":") + 1
    if at and (head := segment[:at]) in heads and segment[at : at + 1] in _AFTER_LABEL:
        return head
    head = head_of(segment)
    return head if head in heads else ""


def head_of(segment: str) -> str:
    """The `Label:` that a segment starts with, without Markdown or quotes around it; '' where there is none."""
    # most segments have no colon there, and a search for one is quick
    start = segment[:_HEAD_CHARS]
    if ":" not in start and "=" not in start:
        return ""
    found = _HEAD.match(segment)
    if found is None:
        return ""
    label = found.group(1).strip()
    return f"{label}:" if len(label.split()) <= _MAX_HEAD_WORDS else ""
