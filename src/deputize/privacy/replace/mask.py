"""Masks every word that is not known to be safe: level "paranoid"."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from deputize.privacy.replace.allowlist import MIN_ORIGINS, SiteVocabulary
from deputize.privacy.replace.surrogates import MASK
from deputize.privacy.scan.episode_lines import EpisodeLines
from deputize.privacy.scan.scanned_log import ScannedLog

MIN_PEOPLE = 10

WORD = re.compile(r"\w+(?:['’.@+-]\w+)*")
"""One word; numbers are words."""


class Masker:
    """Masks all words but the application's own and those that MIN_PEOPLE people use and no detector found.

    In a log of fewer people a word is safe that all of them use, two at least.
    """

    def __init__(
        self,
        words_by_person: Iterable[Iterable[str]],
        vocabularies: Iterable[SiteVocabulary],
        personal: Collection[str] = (),
    ) -> None:
        """
        Args:
            words_by_person: the words in each person's calls, case folded and matched by WORD, in any order.
            vocabularies: the application's own words, at each site.
            personal: words, case folded, that are not safe however frequent they are: a common surname is still a name.
        """
        n_people: Counter[str] = Counter()
        n_total = 0
        for words in words_by_person:
            n_people.update(set(words))
            n_total += 1
        min_people = min(MIN_PEOPLE, max(2, n_total))
        self._safe = {w for w, n in n_people.items() if n >= min_people}.difference(personal)
        for site in vocabularies:
            self._safe |= set(WORD.findall(site.template)) | site.words

    def __call__(self, text: str) -> str:
        return WORD.sub(self._masked, text)

    def _masked(self, match: re.Match[str]) -> str:
        word = match.group()
        return word if word.casefold() in self._safe else MASK


def make_masker(scanned: ScannedLog, vocabularies: Iterable[SiteVocabulary]) -> Masker:
    """The masker of a log. A person is an origin where the log names at least MIN_ORIGINS of them, else an episode.

    Args:
        scanned: the log after its first pass, with the words of its lines.
        vocabularies: of each site.
    """
    names_origins = len(scanned.origins()) >= MIN_ORIGINS
    people: dict[tuple[bool, str], list[EpisodeLines]] = defaultdict(list)
    for episode, parts in scanned.episodes.items():
        origin = next((o for part in parts for o in part.origins), "") if names_origins else ""
        people[bool(origin), origin or episode] += parts
    line_index = scanned.line_index
    words = (
        {word for part in parts for n in part.all_lines() for word in line_index.words(n)}
        for parts in people.values()
    )
    personal = {
        word
        for n in range(line_index.n_lines)
        for finding in line_index.findings(n)
        for word in map(str.casefold, WORD.findall(finding.value))
        if not line_index.is_common_word(word)
    }
    return Masker(words, vocabularies, personal)
