"""Puts stand-ins in the place of personal values, in every text of one episode with the same map."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date

from deputize.stages.curate.dates import find_dates, shift_dates
from deputize.stages.curate.rules import digits_of
from deputize.stages.curate.surrogates import Surrogates

NUMBERS = frozenset({"PHONE_NUMBER", "US_SSN", "CREDIT_CARD", "BANK_ACCOUNT", "IBAN_CODE", "NATIONAL_ID"})
"""Written with and without separators; one number whatever its form."""
MAX_CACHED_CHARS = 1_000_000
"""Of the texts whose changed form is remembered; steps of an episode repeat the steps before them."""
_CASELESS = frozenset({"EMAIL_ADDRESS", "USERNAME", "STREET_ADDRESS", "MAC_ADDRESS"})
_GAP = r"[ \t\u00a0().-]{0,3}"
_GAPS = re.compile(r"(?<=\d)[ \t\u00a0().-]{1,3}(?=\d)|[()]")


class Replacer:
    """The map of one episode, as a function from text to text.

    Args:
        found: (type, value) pairs, exempt ones taken out.
        is_ordinary: whether a word is an everyday one; such a word is replaced only where it stands alone in quotes.
        shift_all_dates: move every date, not only dates of birth.
    """

    def __init__(
        self, found: Iterable[tuple[str, str]], surrogates: Surrogates, is_ordinary: Callable[[str], bool],
        *, shift_all_dates: bool = False,
    ) -> None:  # fmt: skip
        self.n_replaced: Counter[str] = Counter()
        self._surrogates = surrogates
        self._exact: dict[str, tuple[str, str]] = {}
        self._folded: dict[str, tuple[str, str]] = {}
        self._quoted: dict[str, tuple[str, str]] = {}
        self._numbers: list[tuple[str, str, re.Pattern[str], str]] = []
        self._days: set[date] = set()
        self._all_dates = shift_all_dates
        self._texts: dict[str, str] = {}
        self._n_chars = 0
        self.counted: set[int] = set()
        """Hashes of texts changed before, whose spans are in a count already."""
        # longest first: a full name decides what its parts become
        values = sorted(set(found), key=lambda f: (f[0] != "PERSON", -len(f[1]), f))
        surrogates.forbid(frozenset(v.casefold() for _, v in values))
        for kind, value in values:
            self._learn(kind, value, is_ordinary)

    @property
    def is_empty(self) -> bool:
        """Whether no text would be changed."""
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
        self._n_chars = 0

    def leaks(self, text: str) -> str | None:
        """The type of a value that still stands in a text, None where none does."""
        folded = text.casefold()
        for value, (kind, made) in self._folded.items():
            if (
                value in folded
                and value not in made.casefold()
                and len(value) > 3
                and _bounded(value).search(folded)
            ):
                return kind
        for kind, digits, pattern, made in self._numbers:
            if digits != made and pattern.search(text):
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
            if all(known != core for _, known, _, _ in self._numbers):
                pattern = re.compile(r"(?<!\d)" + _GAP.join(core) + r"(?!\d)")
                if len(digits) > len(
                    core
                ):  # a country code may stand right before the core, as in +12125550188
                    lead = _GAP.join(digits[: -len(core)]) + _GAP
                    pattern = re.compile(rf"(?<!\d)(?:{lead})?(?P<core>{_GAP.join(core)})(?!\d)")
                self._numbers.append((kind, core, pattern, made))
            return
        if kind == "PERSON":
            self._learn_name(value, is_ordinary)
            return
        made = self._surrogates.of(kind, value)
        self._exact.setdefault(value, (kind, made))
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

    def _change(self, text: str) -> str:
        folded = text.casefold()
        present = frozenset(v for v in self._exact if v in text) | frozenset(
            v for v in self._folded if v in folded
        )
        if present:
            ordered = sorted(present, key=lambda v: (-len(v), v))
            pattern = re.compile("|".join(map(_edge, ordered)), re.IGNORECASE)
            text = pattern.sub(self._one, text)
        for value, (kind, made) in self._quoted.items():
            if f'"{value}"' in text:
                self.n_replaced[kind] += text.count(f'"{value}"')
                text = text.replace(f'"{value}"', f'"{made}"')
            elif text == value:
                self.n_replaced[kind] += 1
                text = made
        if self._numbers:
            text = self._change_numbers(text)
        if self._all_dates or self._days:
            text = self._change_dates(text)
        return text

    def _one(self, match: re.Match[str]) -> str:
        found = match.group()
        known = self._exact.get(found) or self._folded.get(found.casefold())
        if known is None:
            return found
        kind, made = known
        self.n_replaced[kind] += 1
        if found not in self._exact:
            made = made.lower() if found.islower() else made.upper() if found.isupper() else made
        return made

    def _change_numbers(self, text: str) -> str:
        run = _GAPS.sub("", text)
        for kind, core, pattern, made in self._numbers:
            if core in run:

                def fill(match: re.Match[str], made: str = made, kind: str = kind) -> str:
                    self.n_replaced[kind] += 1
                    whole = match.group()
                    group = "core" if "core" in match.re.groupindex else 0
                    at = match.start(group) - match.start()
                    digits = iter(made)
                    return whole[:at] + "".join(next(digits) if c.isdigit() else c for c in whole[at:])

                text = pattern.sub(fill, text)
        return text

    def _change_dates(self, text: str) -> str:
        hits = sum(self._all_dates or d.day in self._days for d in find_dates(text))
        if not hits:
            return text
        self.n_replaced["DATE_TIME" if self._all_dates else "DATE_OF_BIRTH"] += hits
        return shift_dates(text, self._surrogates.n_days, None if self._all_dates else self._days)


def _edge(value: str) -> str:
    left = r"(?<!\w)" if value[:1].isalnum() else ""
    right = r"(?!\w)" if value[-1:].isalnum() else ""
    return left + re.escape(value) + right


def _bounded(value: str) -> re.Pattern[str]:
    return re.compile(_edge(value))
