"""The allow-list mode: a word that only few episodes of the log hold is masked, whatever it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from deputize.stages.curate.known import Known

MIN_EPISODES = 10
MASK = "[masked]"

WORD = re.compile(r"\w+(?:['’.@+-]\w+)*")
"""What counts as one word."""


class Masker:
    """Masks every word that fewer than MIN_EPISODES episodes hold and that is no word of the application."""

    def __init__(self, words_by_episode: Iterable[Iterable[str]], known: Iterable[Known]) -> None:
        """`words_by_episode`: the words of each episode, case folded and found by WORD, in any order."""
        n_episodes: Counter[str] = Counter()
        n_all = 0
        for words in words_by_episode:
            n_episodes.update(set(words))
            n_all += 1
        self._safe = {w for w, n in n_episodes.items() if n >= min(MIN_EPISODES, max(2, n_all))}
        for site in known:
            self._safe |= set(WORD.findall(site.template)) | site.words

    def __call__(self, text: str) -> str:
        return WORD.sub(self._one, text)

    def _one(self, match: re.Match[str]) -> str:
        word = match.group()
        return word if word.casefold() in self._safe else MASK
