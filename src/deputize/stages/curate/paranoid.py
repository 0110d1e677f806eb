"""The allow-list mode: a word that only few episodes of the log hold is masked, whatever it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from deputize.core.records import Call
from deputize.stages.curate.known import Known
from deputize.stages.curate.texts import call_strings

MIN_EPISODES = 10
MASK = "[masked]"

_WORD = re.compile(r"\w+(?:['’.@+-]\w+)*")


class Masker:
    """Masks every word that fewer than MIN_EPISODES episodes hold and that is no word of the application."""

    def __init__(self, by_episode: Mapping[str, Sequence[Call]], known: Iterable[Known]) -> None:
        n_episodes: Counter[str] = Counter()
        for calls in by_episode.values():
            texts = {text for call in calls for _, text in call_strings(call)}
            n_episodes.update({w.casefold() for text in texts for w in _WORD.findall(text)})
        self._safe = {w for w, n in n_episodes.items() if n >= min(MIN_EPISODES, max(2, len(by_episode)))}
        for site in known:
            self._safe |= set(_WORD.findall(site.template)) | site.words

    def __call__(self, text: str) -> str:
        return _WORD.sub(self._one, text)

    def _one(self, match: re.Match[str]) -> str:
        word = match.group()
        return word if word.casefold() in self._safe else MASK
