"""Whether the parts of a prompt that vary are still such as the calls of its task had: their number, and their words.

What recurs in a prompt gives its template key. An instruction that somebody adds stands among what varies: it is one
more segment than any call had in that place, it speaks to the model where no call did, or it has words that the calls
do not have there. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import le
from string import punctuation

import msgspec

from deputize.core.instruction_signs import signs_in
from deputize.core.records import TextLimits

MAX_READ = 64
"""Varying segments of a text whose words are read: half from its start, half from its end."""
MAX_UNIT_CHARS = 600


class VaryingText(msgspec.Struct, frozen=True, gc=False):
    """A segment that varies and its place: the number of different known segments that have come before it, head
    included."""

    place: int
    text: str


class RecognisedSegments(msgspec.Struct, frozen=True):
    """The segments of one text that a key space has, and what stands between them."""

    known: tuple[str, ...]
    """In order of first appearance."""
    n_repeats: tuple[int, ...] = ()
    """How often each of them stands there."""
    n_unknown: tuple[int, ...] = (0,)
    """Segments that the key space does not have: before the first known one, then after each."""
    varying: tuple[VaryingText, ...] = ()
    """These segments, and the known ones of which only the head is known, at most MAX_READ."""


def words_of(text: str) -> set[str]:
    """The words of a text in lower-case letters; names, numbers and ids, which vary with the data, are left out."""
    words = (word.strip(punctuation) for word in text[:MAX_UNIT_CHARS].split())
    return {word for word in words if word.isalpha() and word.islower()}


def n_new_words(text: str, vocabulary: frozenset[str]) -> int:
    """Number of different words of a text (`words_of`) that a vocabulary does not have."""
    return len(_new_words(text[:MAX_UNIT_CHARS], vocabulary))


def _new_words(text: str, vocabulary: frozenset[str]) -> list[str]:
    # most words are known as they stand, and sets tell so fastest
    unknown = [word for word in set(text.split()) - vocabulary if word.islower()]
    if not unknown:
        return unknown
    words = {word.strip(punctuation) for word in unknown} - vocabulary
    return [word for word in words if word.isalpha()]


def _has_more_new_words(
    varying: Sequence[VaryingText], places: Sequence[int | None], vocabulary: frozenset[str]
) -> bool:
    """True where a text has more new words than its place allows."""
    # one look at all texts is quicker than one at each; a word is looked for as letters before it is as a word
    new = _new_words("\n".join([one.text[:MAX_UNIT_CHARS] for one in varying]), vocabulary)
    if not new:
        return False
    for one in varying:
        most = places[one.place] if one.place < len(places) else None
        if most is None or len(new) <= most or sum([word in one.text for word in new]) <= most:
            continue
        if n_new_words(one.text, vocabulary) > most:
            return True
    return False


def ends(varying: Sequence[VaryingText]) -> tuple[VaryingText, ...]:
    """The varying texts that are read: all of a few, else the first and the last."""
    if len(varying) <= MAX_READ:
        return tuple(varying)
    return (*varying[: MAX_READ // 2], *varying[-MAX_READ // 2 :])


def within(found: RecognisedSegments, limits: TextLimits, vocabulary: frozenset[str]) -> bool:
    """Check whether a text stays within the limits of its template key.

    Args:
        found: its segments.
        limits: of the key; as many places as the key has.
        vocabulary: the words of what varies in calls with this key.
    """
    if any(found.n_unknown) and not all(map(le, found.n_unknown, limits.n_unknown)):
        return False
    if max(found.n_repeats, default=1) > 1 and not all(map(le, found.n_repeats, limits.n_repeats)):
        return False
    if not found.varying:
        return True
    places = limits.n_new_words
    if places.count(None) < len(places) and _has_more_new_words(found.varying, places, vocabulary):
        return False
    most, total = limits.instructions, limits.n_instructions
    if most is None and total is None:
        return True
    signs = signs_in([varying.text for varying in found.varying])
    if not signs:
        return True
    if most is not None:
        return all(n <= most.get(sign, 0) for sign, n in signs.items())
    return total is None or sum(signs.values()) <= total
