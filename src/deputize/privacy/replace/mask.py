"""The allow-list mode: a word is masked, whatever it is, unless it is known to be safe."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from deputize.privacy.replace.allowlist import SiteVocabulary

MIN_PEOPLE = 10
MASK = "[masked]"

WORD = re.compile(r"\w+(?:['’.@+-]\w+)*")
"""What counts as one word; numbers are words."""


class Masker:
    """Masks every word but those that MIN_PEOPLE people use and no detector took for personal, and the application's own.

    In a log of fewer people a word is safe that all of them use, two at least.
    """

    def __init__(
        self,
        words_by_person: Iterable[Iterable[str]],
        known: Iterable[SiteVocabulary],
        personal: Collection[str] = (),
    ) -> None:
        """
        Args:
            words_by_person: the words of each person's calls, case folded and found by WORD, in any order.
            known: the application's own words, at each site.
            personal: words, case folded, that are never safe by being frequent: a common surname is still a name.
        """
        n_people: Counter[str] = Counter()
        n_all = 0
        for words in words_by_person:
            n_people.update(set(words))
            n_all += 1
        least = min(MIN_PEOPLE, max(2, n_all))
        self._safe = {w for w, n in n_people.items() if n >= least}.difference(personal)
        for site in known:
            self._safe |= set(WORD.findall(site.template)) | site.words

    def __call__(self, text: str) -> str:
        return WORD.sub(self._one, text)

    def _one(self, match: re.Match[str]) -> str:
        word = match.group()
        return word if word.casefold() in self._safe else MASK
