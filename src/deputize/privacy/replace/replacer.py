"""Puts stand-ins in the place of personal values, in every text of one episode with the same map."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise

from deputize.privacy.check_digits import digits_of
from deputize.privacy.dates import find_dates, shift_dates
from deputize.privacy.replace.surrogates import Surrogates

NUMBERS = frozenset({"PHONE_NUMBER", "US_SSN", "CREDIT_CARD", "BANK_ACCOUNT", "IBAN_CODE", "NATIONAL_ID"})
"""Written with and without separators; one number whatever its form."""
MAX_CACHED_CHARS = 1_000_000
"""Of the texts whose changed form is remembered; steps of an episode repeat the steps before them."""
FEW = 48
"""Up to so many values each is looked for by itself, which is quicker."""
PIECE = 4
"""Characters."""
_CASELESS = frozenset({"EMAIL_ADDRESS", "USERNAME", "STREET_ADDRESS", "MAC_ADDRESS", "SENSITIVE"})
_GAP = r"[ \t\r\n\u00a0()/.-]{0,3}"
"""A number may go on in the next line."""
_DIGIT = re.compile(r"\d")
_GAPS = re.compile(r"(?<=\d)[ \t\r\n\u00a0()/.-]{1,3}(?=\d)|[()]")


class SubstringSearch:
    """Which of many strings stand in a text, in the order they were given.

    A giant episode has thousands of values and as many texts; to look for each value in each text takes a square of its
    length. So a value is looked for only where a piece of it stands, the one that fewest other values have.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = list(values)
        self._by_piece: dict[str, list[int]] | None = None
        self._short: list[int] = []

    def __call__(self, text: str) -> list[str]:
        """Those of the values that are part of the text."""
        if len(self._values) <= FEW:
            return [v for v in self._values if v in text]
        if self._by_piece is None:
            self._by_piece = self._index()
        at = set(self._short)
        for piece in _pieces(text) & self._by_piece.keys():
            at.update(self._by_piece[piece])
        return [v for n in sorted(at) if (v := self._values[n]) in text]

    def _index(self) -> dict[str, list[int]]:
        often = Counter(piece for value in self._values for piece in _pieces(value))
        out: dict[str, list[int]] = {}
        for n, value in enumerate(self._values):
            rarest = min(_pieces(value), key=lambda p: (often[p], p), default=None)
            if rarest is None:
                self._short.append(n)
            else:
                out.setdefault(rarest, []).append(n)
        return out


def _pieces(text: str) -> set[str]:
    return {text[i : i + PIECE] for i in range(len(text) - PIECE + 1)}


class Replacer:
    """The map of one episode, as a function from text to text.

    Args:
        found: (type, value) pairs, exempt ones taken out.
        is_ordinary: whether a word is an everyday one; such a word is replaced only where it stands alone in quotes.
        shift_all_dates: move every date, not only dates of birth.
    """

    def __init__(
        self,
        found: Iterable[tuple[str, str]],
        surrogates: Surrogates,
        is_ordinary: Callable[[str], bool],
        *,
        shift_all_dates: bool = False,
    ) -> None:
        self.n_replaced: Counter[str] = Counter()
        self._surrogates = surrogates
        self._exact: dict[str, tuple[str, str]] = {}
        self._folded: dict[str, tuple[str, str]] = {}
        self._quoted: dict[str, tuple[str, str]] = {}
        self._numbers: list[tuple[str, str, str]] = []
        """(type, digits, digits of the stand-in)."""
        self._leads: dict[str, list[str]] = {}
        """Digits -> what may stand right before them: the country code in +12125550188, or ""."""
        self._days: set[date] = set()
        self._all_dates = shift_all_dates
        self._texts: dict[str, str] = {}
        self._n_chars = 0
        self._looked: dict[str, str | None] = {}
        self._n_looked = 0
        self.counted: set[int] = set()
        """Hashes of texts changed before, whose spans are in a count already."""
        # longest first: a full name decides what its parts become
        values = sorted(set(found), key=lambda f: (f[0] != "PERSON", -len(f[1]), f))
        surrogates.forbid(frozenset(v.casefold() for _, v in values))
        for kind, value in values:
            self._learn(kind, value, is_ordinary)
        self._among_exact, self._among_folded = SubstringSearch(self._exact), SubstringSearch(self._folded)
        self._among_quoted = SubstringSearch(f'"{value}"' for value in self._quoted)
        self._number_of = {core: (kind, made) for kind, core, made in self._numbers}
        self._among_numbers = SubstringSearch(self._number_of)

    @property
    def is_empty(self) -> bool:
        """True where no text would be changed."""
        return not (self._exact or self._quoted or self._numbers or self._days or self._all_dates)

    def __call__(self, text: str) -> str:
        known = self._texts.get(text)
        if known is None:
            before = self.n_replaced.copy() if hash(text) in self.counted else None
            known = self._change(text)
            if before is not None:
                self.n_replaced = before
            self._texts[text] = known
            self._n_chars += len(text)
            if self._n_chars > MAX_CACHED_CHARS:
                self.forget_texts()
        return known

    def forget_texts(self) -> None:
        """Gives back the memory of texts changed so far; they are not counted again."""
        self.counted.update(map(hash, self._texts))
        self._texts.clear()
        self._looked.clear()
        self._n_chars = self._n_looked = 0

    def leaks(self, text: str) -> str | None:
        """The type of a value that still stands in a text, None where none does."""
        if text not in self._looked:
            if self._n_looked + len(text) > MAX_CACHED_CHARS:
                self._looked.clear()
                self._n_looked = 0
            self._looked[text] = self._leaks(text)
            self._n_looked += len(text)
        return self._looked[text]

    def _leaks(self, text: str) -> str | None:
        folded = text.casefold()
        for value in self._among_folded(folded):
            kind, made = self._folded[value]
            if value not in made.casefold() and len(value) > 3 and _bounded(value).search(folded):
                return kind
        if self._numbers:
            for core in self._among_numbers(digits_of(text)):
                kind, made = self._number_of[core]
                if core != made and any(number_places(text, core, lead) for lead in self._leads[core]):
                    return kind
        return None

    def _learn(self, kind: str, value: str, is_ordinary: Callable[[str], bool]) -> None:
        if kind == "DATE_OF_BIRTH" and (dates := find_dates(value)):
            self._days.update(d.day for d in dates)
            return
        if kind == "DATE_TIME":
            return
        digits = digits_of(value)
        if kind in NUMBERS and len(digits) >= 7 and not any(c.isalpha() for c in value):
            core = digits[-10:] if kind == "PHONE_NUMBER" else digits
            made = digits_of(self._surrogates.of(kind, value))[-len(core) :]
            leads = self._leads.setdefault(core, [])
            leads.append(digits[: -len(core)])
            if len(leads) == 1:
                self._numbers.append((kind, core, made))
            return
        if kind == "PERSON":
            self._learn_name(value, is_ordinary)
            return
        made = self._surrogates.of(kind, value)
        self._exact.setdefault(value, (kind, made))
        if kind == "STREET_ADDRESS" and "," in value:
            self._learn_places(value, made, is_ordinary)
        if kind in _CASELESS:
            self._folded.setdefault(value.casefold(), (kind, made))

    def _learn_name(self, value: str, is_ordinary: Callable[[str], bool]) -> None:
        words = value.split()
        made = self._surrogates.of("PERSON", value)
        if len(words) == 1:
            target = self._quoted if is_ordinary(value) or len(value) < 3 else self._exact
            target.setdefault(value, ("PERSON", made))
            return
        self._exact.setdefault(value, ("PERSON", made))
        self._folded.setdefault(value.casefold(), ("PERSON", made))
        parts = self._surrogates.parts()
        for word in words:
            part = parts.get(word.casefold())
            if part and len(word) > 2 and word.istitle() and not is_ordinary(word):
                self._exact.setdefault(word, ("PERSON", part))

    def _learn_places(self, value: str, made: str, is_ordinary: Callable[[str], bool]) -> None:
        """The town of an address stands alone in an answer that takes the address apart."""
        parts, others = value.split(", "), made.split(", ")
        for part, other in zip(parts[1:], others[1:], strict=False):
            if len(part) > 3 and part.istitle() and part.replace(" ", "").isalpha() and not is_ordinary(part):
                self._exact.setdefault(part, ("STREET_ADDRESS", other))

    def _change(self, text: str) -> str:
        folded = text.casefold()
        present = {*self._among_exact(text), *self._among_folded(folded)}
        if present:
            ordered = sorted(present, key=lambda v: (-len(v), v))
            text = _filled(text, value_places(text, ordered), self._one)
        text = self._change_quoted(text)
        if self._numbers:
            text = self._change_numbers(text)
        if self._all_dates or self._days:
            text = self._change_dates(text)
        return text

    def _change_quoted(self, text: str) -> str:
        """The text with everyday words that are names changed where they stand alone; no stand-in is one of them."""
        if text in self._quoted:
            kind, made = self._quoted[text]
            self.n_replaced[kind] += 1
            return made
        for quoted in self._among_quoted(text):
            kind, made = self._quoted[quoted[1:-1]]
            self.n_replaced[kind] += text.count(quoted)
            text = text.replace(quoted, f'"{made}"')
        return text

    def _one(self, found: str) -> str:
        known = self._exact.get(found) or self._folded.get(found.casefold())
        if known is None:
            return found
        kind, made = known
        self.n_replaced[kind] += 1
        if found not in self._exact:
            made = made.lower() if found.islower() else made.upper() if found.isupper() else made
        return made

    def _change_numbers(self, text: str) -> str:
        for core in self._among_numbers(_GAPS.sub("", text)):
            kind, made = self._number_of[core]

            def fill(found: str, made: str = made, kind: str = kind) -> str:
                self.n_replaced[kind] += 1
                digits = iter(made)
                return "".join(next(digits) if c.isdigit() else c for c in found)

            for lead in self._leads[core]:
                text = _filled(text, number_places(text, core, lead), fill)
        return text

    def _change_dates(self, text: str) -> str:
        hits = sum(self._all_dates or d.day in self._days for d in find_dates(text))
        if not hits:
            return text
        self.n_replaced["DATE_TIME" if self._all_dates else "DATE_OF_BIRTH"] += hits
        return shift_dates(text, self._surrogates.n_days, None if self._all_dates else self._days)


def value_places(text: str, values: Sequence[str]) -> list[tuple[int, int]]:
    """Where values stand in a text, whatever their case, as whole words; of those that overlap the first in the list.

    Nearly every text has values of its own, and to compile a pattern takes far longer than to look; so a pattern is
    made only where case is not simple.
    """
    if not (text.isascii() and all(v.isascii() for v in values)):
        pattern = re.compile("|".join(map(_edge, values)), re.IGNORECASE)
        return [m.span() for m in pattern.finditer(text)]
    lower = text.lower()
    hits: list[tuple[int, int, int]] = []
    for rank, value in enumerate(values):
        wanted = value.lower()
        at = lower.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            if not (value[0].isalnum() and at and _in_word(text[at - 1])) and not (
                value[-1].isalnum() and end < len(text) and _in_word(text[end])
            ):
                hits.append((at, rank, end))
            at = lower.find(wanted, at + 1)
    return _apart((at, end) for at, _, end in sorted(hits))


def number_places(text: str, core: str, lead: str = "") -> list[tuple[int, int]]:
    """Where the digits of a number stand in a text, with or without separators between them.

    Args:
        text: the text.
        core: the digits.
        lead: digits that may stand right before them and do not belong to another number then.
    """
    if not text.isascii():
        return [m.span("core") for m in _number_pattern(core, lead).finditer(text)]
    at = [m.start() for m in _DIGIT.finditer(text)]
    digits = "".join(text[i] for i in at)
    out: list[tuple[int, int]] = []
    done, i = 0, digits.find(core)
    while i >= 0:
        end = i + len(core)
        is_whole = end == len(at) or at[end] > at[end - 1] + 1
        if is_whole and _joined(text, at[i:end]) and _starts(text, digits, at, i, lead, done):
            out.append((at[i], at[end - 1] + 1))
            done = end
            i = digits.find(core, end)
        else:
            i = digits.find(core, i + 1)
    return out


def _starts(text: str, digits: str, at: Sequence[int], i: int, lead: str, done: int) -> bool:
    """True where a number may start at digit i: no other digit touches it, or just its lead does."""
    if i == 0 or at[i - 1] < at[i] - 1:
        return True
    first = i - len(lead)
    return (
        bool(lead)
        and first >= done
        and digits[first:i] == lead
        and _joined(text, at[first : i + 1])
        and (first == 0 or at[first - 1] < at[first] - 1)
    )


def _joined(text: str, at: Sequence[int]) -> bool:
    """True where nothing but a few separators stands between the digits at these places."""
    return all(b - a <= 4 and not text[a + 1 : b].strip(" \t\r\n()/.-") for a, b in pairwise(at))


@lru_cache(maxsize=512)
def _number_pattern(core: str, lead: str) -> re.Pattern[str]:
    before = f"(?:{_GAP.join(lead)}{_GAP})?" if lead else ""
    return re.compile(rf"(?<!\d){before}(?P<core>{_GAP.join(core)})(?!\d)")


def _apart(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places that do not overlap an earlier one that is kept."""
    out: list[tuple[int, int]] = []
    for start, end in places:
        if not out or start >= out[-1][1]:
            out.append((start, end))
    return out


def _filled(text: str, places: Sequence[tuple[int, int]], change: Callable[[str], str]) -> str:
    """The text with what stands at the places changed."""
    parts: list[str] = []
    done = 0
    for start, end in places:
        parts += (text[done:start], change(text[start:end]))
        done = end
    return "".join([*parts, text[done:]]) if places else text


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _edge(value: str) -> str:
    left = r"(?<!\w)" if value[:1].isalnum() else ""
    right = r"(?!\w)" if value[-1:].isalnum() else ""
    return left + re.escape(value) + right


def _bounded(value: str) -> re.Pattern[str]:
    return re.compile(_edge(value))
