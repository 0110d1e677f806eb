"""Whole values guessed without a model: what earlier values of the same slot copied out of their prompts is looked up
in this prompt.

A value that was written is kept as its form: its own words, and for each part that stands in its prompt the few tokens
by which such a part is found in another. Where most forms, filled in from a new prompt, make the same value, that is
read on trial in one pass.

References:
    Saxena, "Prompt lookup decoding", 2023 (copies what follows where the last tokens stand in the prompt; here the
    places are known before anything is written).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

CONTEXTS = (2, 3, 4, 1)
"""Tokens before a copied part that are tried to find it by, the first that do."""
LONGEST_COPY = 64
"""Tokens of one copied part."""
AGREED, ENOUGH = 0.8, 2
"""Share and number of the forms that must make the same value for it to be read as a whole."""
LIKELY = 0.5
"""Share of the forms from which a value is tried at all."""
FEW = 8
"""Tokens behind those agreed on that a likely value is tried with."""


class Copied(NamedTuple):
    """A part of a value that stood in its prompt."""

    before: tuple[int, ...]
    """Tokens of the prompt before it."""
    after: int | None
    """The token of the prompt behind it; None at its end."""
    tokens: tuple[int, ...]
    """As they were in that value."""


Form = list[Copied | int]
"""A value: tokens of its own, and parts that were copied."""


class Guess(NamedTuple):
    """A value that is likely, or its beginning, as tokens."""

    tokens: list[int]
    is_agreed: bool
    """Most forms make it, but for a few tokens at its end."""


class Guesses:
    """The values that the forms of earlier ones make of a prompt."""

    def __init__(self, forms: Iterable[Form] = (), prompt: Sequence[int] = (), most: int = 0) -> None:
        """
        Args:
            forms: of earlier values, the last one first.
            prompt: of the value to be written.
            most: tokens of a value.
        """
        places, self._made = PromptPlaces(prompt), Counter[tuple[int, ...]]()
        for form in forms:
            tokens = (
                token
                for part in form
                for token in (places.copied(part) if isinstance(part, Copied) else (part,))
            )
            self._made[tuple(islice(tokens, most))] += 1

    def best(self, written: Sequence[int] = ()) -> Guess | None:
        """The value that most forms make of those that begin as what is written; where less than half of these make
        one, the beginning that most make; None where they make no such thing.

        Args:
            written: tokens of the value so far.
        """
        n, begun = len(written), tuple(written)
        fits = Counter({value: often for value, often in self._made.items() if value[:n] == begun})
        if not fits:
            return None
        (value, often), of = fits.most_common(1)[0], fits.total()
        begin = _agreed(fits, begun, max(ENOUGH, AGREED * of))
        if often < LIKELY * of:
            return Guess(begin, is_agreed=True) if len(begin) > n else None
        return Guess(list(value), n < len(begin) and len(value) - len(begin) <= FEW)

    @property
    def usual(self) -> Sequence[int]:
        """The value that most make, whatever is written; empty without forms."""
        return self._made.most_common(1)[0][0] if self._made else ()


def _agreed(values: Mapping[tuple[int, ...], int], begun: tuple[int, ...], least: float) -> list[int]:
    """The tokens that are written, and as many more as at least so many values have."""
    out = list(begun)
    while True:
        follows = Counter[int]()
        for value, often in values.items():
            if len(value) > len(out) and list(value[: len(out)]) == out:
                follows[value[len(out)]] += often
        if not follows or follows.most_common(1)[0][1] < least:
            return out
        out.append(follows.most_common(1)[0][0])


class PromptPlaces:
    """Where the tokens of a prompt stand."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self.tokens = list(prompt)
        self._places: dict[int, list[int]] = {}
        for at, token in enumerate(self.tokens):
            self._places.setdefault(token, []).append(at)

    def behind(self, context: Sequence[int]) -> int | None:
        """The place behind the first occurrence of some tokens; None where they do not occur."""
        n = len(context)
        for at in self._places.get(context[-1], ()):
            if at + 1 >= n and self.tokens[at + 1 - n : at + 1] == list(context):
                return at + 1
        return None

    def longest(self, value: Sequence[int]) -> Copied | None:
        """The longest beginning of a value that stands in the prompt and can be found there by what is before it."""
        best: Copied | None = None
        for at in self._places.get(value[0], ()):
            n = 1
            while n < min(len(value), LONGEST_COPY) and self.tokens[at + n : at + n + 1] == [value[n]]:
                n += 1
            if best is not None and n <= len(best.tokens):
                continue
            before = self._before(at)
            if before:
                after = self.tokens[at + n] if at + n < len(self.tokens) else None
                best = Copied(before, after, tuple(value[:n]))
        return best

    def _before(self, at: int) -> tuple[int, ...]:
        """The tokens that a place is found by; () where none do."""
        for n in CONTEXTS:
            if n <= at and self.behind(self.tokens[at - n : at]) == at:
                return tuple(self.tokens[at - n : at])
        return ()

    def copied(self, part: Copied) -> Sequence[int]:
        """The tokens of this prompt in the place of a part that was copied from another; the part itself where nothing
        is found."""
        start = self.behind(part.before)
        if start is None:
            return part.tokens
        room = self.tokens[start : start + LONGEST_COPY]
        n = room.index(part.after) if part.after in room else len(part.tokens)
        return room[:n]


def form_of(value: Sequence[int], prompt: Sequence[int]) -> Form:
    """The form of a value that was written after a prompt."""
    places, out, at = PromptPlaces(prompt), Form(), 0
    while at < len(value):
        part = places.longest(value[at:])
        out.append(value[at] if part is None else part)
        at += 1 if part is None else len(part.tokens)
    return out
