"""Replaces personal values with their surrogates, in every text of one episode by the same map."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise

from deputize.privacy.check_digits import digits_of
from deputize.privacy.date_shift import find_dates, shift_dates
from deputize.privacy.detectors.deobfuscate import as_meant
from deputize.privacy.replace.number_forms import leads_of
from deputize.privacy.replace.surrogates import Surrogates
from deputize.privacy.scripts import MARKS, UNSPACED

NUMBERS = frozenset({"PHONE_NUMBER", "US_SSN", "CREDIT_CARD", "BANK_ACCOUNT", "IBAN_CODE", "NATIONAL_ID"})
"""Types of numbers that are the same number with and without separators."""
MAX_CACHED_CHARS = 1_000_000
"""Characters of the texts whose rewritten form is cached; steps of an episode repeat the steps before them."""
MAX_LINEAR_SEARCH = 48
"""Up to so many values are searched one by one, which is faster."""
PIECE_CHARS = 4
"""Characters."""
CASELESS = frozenset({"EMAIL_ADDRESS", "USERNAME", "STREET_ADDRESS", "MAC_ADDRESS", "SENSITIVE"})
_GAP = r"[ \t\r\n\u00a0()/.-]{0,3}"
"""Separators inside a number, which may continue in the next line."""
_DIGIT = re.compile(r"\d")
_GAPS = re.compile(r"(?<=\d)[ \t\r\n\u00a0()/.-]{1,3}(?=\d)|[()]")


class SubstringSearch:
    """Finds which of many strings are part of a text, in the order in which they were given.

    A giant episode has thousands of values and as many texts; a search for each value in each text would take quadratic
    time. So a value is searched only in texts with one piece of it, the one that the fewest other values have.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = list(values)
        self._by_piece: dict[str, list[int]] | None = None
        self._short: list[int] = []

    def __call__(self, text: str) -> list[str]:
        """Those of the values that are part of the text."""
        if len(self._values) <= MAX_LINEAR_SEARCH:
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
    return {text[i : i + PIECE_CHARS] for i in range(len(text) - PIECE_CHARS + 1)}


class Replacer:
    """The map of one episode, as a function from text to text.

    Args:
        found: (type, value) pairs to replace.
        is_common_word: returns whether a word is an everyday one, which is replaced only alone or in quotes.
        shift_all_dates: move every date, not only dates of birth.
    """

    def __init__(
        self,
        found: Iterable[tuple[str, str]],
        surrogates: Surrogates,
        is_common_word: Callable[[str], bool],
        *,
        shift_all_dates: bool = False,
    ) -> None:
        self.n_replaced: Counter[str] = Counter()
        self._surrogates = surrogates
        self._exact: dict[str, tuple[str, str]] = {}
        self._folded: dict[str, tuple[str, str]] = {}
        self._quoted: dict[str, tuple[str, str]] = {}
        self._numbers: list[tuple[str, str, str]] = []
        """(type, digits, digits of the surrogate)."""
        self._leads: dict[str, list[str]] = {}
        """Digits -> digits that may be right before them: the country code in +12125550188, or ""."""
        self._days: set[date] = set()
        self._all_dates = shift_all_dates
        self._cache: dict[str, str] = {}
        self._n_chars = 0
        self._leak_cache: dict[str, str | None] = {}
        self._n_leak_chars = 0
        self.counted: set[int] = set()
        """Hashes of texts that were rewritten before, whose spans are counted already."""
        # longest first: a full name decides what its parts become
        values = sorted(set(found), key=lambda f: (f[0] != "PERSON", -len(f[1]), f))
        surrogates.forbid(frozenset(v.casefold() for _, v in values))
        for kind, value in values:
            self._add(kind, value, is_common_word)
        self._find_exact, self._find_folded = SubstringSearch(self._exact), SubstringSearch(self._folded)
        self._find_quoted = SubstringSearch(f'"{value}"' for value in self._quoted)
        self._number_of = {core: (kind, surrogate) for kind, core, surrogate in self._numbers}
        self._find_numbers = SubstringSearch(self._number_of)

    @property
    def is_empty(self) -> bool:
        """True where no text would be changed."""
        return not (self._exact or self._quoted or self._numbers or self._days or self._all_dates)

    def __call__(self, text: str) -> str:
        cached = self._cache.get(text)
        if cached is None:
            before = self.n_replaced.copy() if hash(text) in self.counted else None
            cached = self._change(text)
            if before is not None:
                self.n_replaced = before
            self._cache[text] = cached
            self._n_chars += len(text)
            if self._n_chars > MAX_CACHED_CHARS:
                self.forget_texts()
        return cached

    def forget_texts(self) -> None:
        """Clears the cache of rewritten texts; they are not counted again."""
        self.counted.update(map(hash, self._cache))
        self._cache.clear()
        self._leak_cache.clear()
        self._n_chars = self._n_leak_chars = 0

    def leaks(self, text: str) -> str | None:
        """The type of a found value that is still in a text, None where none is."""
        if text not in self._leak_cache:
            if self._n_leak_chars + len(text) > MAX_CACHED_CHARS:
                self._leak_cache.clear()
                self._n_leak_chars = 0
            self._leak_cache[text] = self._leaks(text)
            self._n_leak_chars += len(text)
        return self._leak_cache[text]

    def _leaks(self, text: str) -> str | None:
        text = as_meant(text)
        folded = text.casefold()
        for value in self._find_folded(folded):
            kind, surrogate = self._folded[value]
            if value not in surrogate.casefold() and len(value) > 3 and _bounded(value).search(folded):
                return kind
        if self._numbers:
            for core in self._find_numbers(digits_of(text)):
                kind, surrogate = self._number_of[core]
                if core != surrogate and any(
                    occurrences_of_number(text, core, lead) for lead in self._leads[core]
                ):
                    return kind
        return None

    def _add(self, kind: str, value: str, is_common_word: Callable[[str], bool]) -> None:
        if kind == "DATE_OF_BIRTH" and (dates := find_dates(value)):
            self._days.update(d.day for d in dates)
            return
        if kind == "DATE_TIME":
            return
        if (plain := as_meant(value)) != value:
            self._exact.setdefault(value, (kind, self._disguised(kind, value, plain)))
            value = plain
        digits = digits_of(value)
        if kind in NUMBERS and len(digits) >= 7 and not any(c.isalpha() for c in value):
            core = digits[-10:] if kind == "PHONE_NUMBER" else digits
            surrogate = digits_of(self._surrogates.of(kind, value))[-len(core) :]
            if core not in self._leads:
                self._numbers.append((kind, core, surrogate))
            self._leads.setdefault(core, []).extend(leads_of(kind, digits[: -len(core)]))
            return
        if kind == "PERSON":
            self._add_name(value, is_common_word)
            return
        surrogate = self._surrogates.of(kind, value)
        self._exact.setdefault(value, (kind, surrogate))
        if kind == "STREET_ADDRESS" and "," in value:
            self._add_towns(value, surrogate, is_common_word)
        if kind in CASELESS:
            self._folded.setdefault(value.casefold(), (kind, surrogate))

    def _disguised(self, kind: str, value: str, plain: str) -> str:
        """The surrogate of a value that is written in a disguise: that of the plain value, with digits of the same
        script."""
        surrogate = self._surrogates.of(kind, value if "\\u" in value else plain)
        if len(surrogate) != len(value):
            return surrogate
        return "".join(map(_digit_like, value, surrogate))

    def _add_name(self, value: str, is_common_word: Callable[[str], bool]) -> None:
        words = value.split()
        surrogate = self._surrogates.of("PERSON", value)
        if len(words) == 1:
            is_short = len(value) < (2 if _UNSPACED_LETTER.match(value) else 3)
            target = self._quoted if is_common_word(value) or is_short else self._exact
            target.setdefault(value, ("PERSON", surrogate))
            return
        self._exact.setdefault(value, ("PERSON", surrogate))
        self._folded.setdefault(value.casefold(), ("PERSON", surrogate))
        parts = self._surrogates.parts()
        for word in words:
            part = parts.get(word.casefold())
            is_written_as_name = word.istitle() or word.isupper() or word.lower() == word.upper()
            if part and len(word) > 2 and is_written_as_name and not is_common_word(word):
                self._exact.setdefault(word, ("PERSON", part))

    def _add_towns(self, value: str, surrogate: str, is_common_word: Callable[[str], bool]) -> None:
        """Adds the town of an address: it occurs alone in an answer that splits the address."""
        parts, others = value.split(", "), surrogate.split(", ")
        for part, other in zip(parts[1:], others[1:], strict=False):
            if (
                len(part) > 3
                and part.istitle()
                and part.replace(" ", "").isalpha()
                and not is_common_word(part)
            ):
                self._exact.setdefault(part, ("STREET_ADDRESS", other))

    def _change(self, text: str) -> str:
        folded = text.casefold()
        present = {*self._find_exact(text), *self._find_folded(folded)}
        if present:
            ordered = sorted(present, key=lambda v: (-len(v), v))
            text = _filled(text, value_intervals(text, ordered), self._surrogate_of)
        text = self._change_quoted(text)
        if self._numbers:
            text = self._change_numbers(text)
        if self._all_dates or self._days:
            text = self._change_dates(text)
        return text

    def _change_quoted(self, text: str) -> str:
        """The text with names that are everyday words replaced where they are the whole text or in quotes."""
        if text in self._quoted:
            kind, surrogate = self._quoted[text]
            self.n_replaced[kind] += 1
            return surrogate
        for quoted in self._find_quoted(text):
            kind, surrogate = self._quoted[quoted[1:-1]]
            self.n_replaced[kind] += text.count(quoted)
            text = text.replace(quoted, f'"{surrogate}"')
        return text

    def _surrogate_of(self, found: str) -> str:
        entry = self._exact.get(found) or self._folded.get(found.casefold())
        if entry is None:
            return found
        kind, surrogate = entry
        self.n_replaced[kind] += 1
        if found not in self._exact:
            surrogate = (
                surrogate.lower() if found.islower() else surrogate.upper() if found.isupper() else surrogate
            )
        return surrogate

    def _change_numbers(self, text: str) -> str:
        for core in self._find_numbers(_GAPS.sub("", text)):
            kind, surrogate = self._number_of[core]

            def fill(found: str, surrogate: str = surrogate, kind: str = kind) -> str:
                self.n_replaced[kind] += 1
                digits = iter(surrogate)
                return "".join(next(digits) if c.isdigit() else c for c in found)

            for lead in self._leads[core]:
                text = _filled(text, occurrences_of_number(text, core, lead), fill)
        return text

    def _change_dates(self, text: str) -> str:
        hits = sum(self._all_dates or d.day in self._days for d in find_dates(text))
        if not hits:
            return text
        self.n_replaced["DATE_TIME" if self._all_dates else "DATE_OF_BIRTH"] += hits
        return shift_dates(text, self._surrogates.n_days, None if self._all_dates else self._days)


def value_intervals(text: str, values: Sequence[str]) -> list[tuple[int, int]]:
    """[start, end) of values in a text in any case, as whole words; of overlapping ones the first in the list.

    Nearly every text has values of its own, and compiling a pattern takes far longer than a search; so a pattern is
    compiled only where case is not simple.
    """
    if not (text.isascii() and all(v.isascii() for v in values)):
        pattern = re.compile("|".join(map(whole_word, values)), re.IGNORECASE)
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


def occurrences_of_number(text: str, core: str, lead: str = "") -> list[tuple[int, int]]:
    """[start, end) of the digits of a number in a text, with or without separators between them.

    Args:
        text: the text.
        core: the digits.
        lead: digits that may be right before them without being part of another number.
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
    """True where only a few separators are between the digits at these indices."""
    return all(b - a <= 4 and not text[a + 1 : b].strip(" \t\r\n()/.-") for a, b in pairwise(at))


@lru_cache(maxsize=512)
def _number_pattern(core: str, lead: str) -> re.Pattern[str]:
    before = f"(?:{_GAP.join(lead)}{_GAP})?" if lead else ""
    return re.compile(rf"(?<!\d){before}(?P<core>{_GAP.join(core)})(?!\d)")


def _apart(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The intervals that do not overlap an earlier one that is kept."""
    out: list[tuple[int, int]] = []
    for start, end in intervals:
        if not out or start >= out[-1][1]:
            out.append((start, end))
    return out


def _filled(text: str, intervals: Sequence[tuple[int, int]], change: Callable[[str], str]) -> str:
    """The text with its parts at the intervals changed."""
    parts: list[str] = []
    done = 0
    for start, end in intervals:
        parts += (text[done:start], change(text[start:end]))
        done = end
    return "".join([*parts, text[done:]]) if intervals else text


def _in_word(char: str) -> bool:
    return char.isalnum()


_WORD_LETTER = rf"[^\W_{UNSPACED}]|[{MARKS}]"
"""A letter or digit that belongs to the same word as the one next to it; parts of an identifier are words."""
_UNSPACED_LETTER = re.compile(rf"[{UNSPACED}]")
_ARABIC_LETTER = re.compile(r"[\u0620-\u064a]")


def whole_word(value: str) -> str:
    """A pattern of a value as a whole word. Letters of scripts without blanks have no edge; Arabic ones may have a
    preposition or article before them."""
    left = right = ""
    if value[:1].isalnum() and not _UNSPACED_LETTER.match(value):
        left = rf"(?<!{_WORD_LETTER})"
        if _ARABIC_LETTER.match(value):
            left = rf"(?:{left}|(?<=(?<!\w)[وفبلك]))"
    if value[-1:].isalnum() and not _UNSPACED_LETTER.match(value[-1]):
        right = rf"(?!{_WORD_LETTER})"
    return left + re.escape(value) + right


def _digit_like(char: str, new: str) -> str:
    """`new` as a digit of the script that a digit is of."""
    if char.isascii() or not (char.isdecimal() and new.isdecimal()):
        return new
    return chr(ord(char) - int(char) + int(new))


def _bounded(value: str) -> re.Pattern[str]:
    return re.compile(whole_word(value))
