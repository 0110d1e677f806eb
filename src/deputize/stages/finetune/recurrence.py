"""How often the data of one episode comes again in the examples of a task."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

SHARE = 0.9
MOST_EPISODES = 300
_WORD = re.compile(r"\w+")


def recurrence(texts: Sequence[str], groups: Sequence[str]) -> int:
    """In how many texts of its episode a word stands that no other episode has: of each episode the word that comes
    most often, of all episodes the 90th percentile (by rank).

    1 where every episode has one text. What several episodes share is the task's and nobody's. Of many episodes
    MOST_EPISODES are read, evenly from all.

    Args:
        texts: of training examples.
        groups: the episode of each; "" is one of its own.
    """
    by_episode: dict[str, list[str]] = {}
    for n, (text, group) in enumerate(zip(texts, groups, strict=True)):
        by_episode.setdefault(group or f"\0{n}", []).append(text)
    if all(len(mine) == 1 for mine in by_episode.values()):
        return 1
    episodes = list(by_episode.values())[:: -(-len(by_episode) // MOST_EPISODES)]
    owner: dict[str, int] = {}
    for n, mine in enumerate(episodes):
        for word in {word for text in mine for word in _WORD.findall(text)}:
            owner[word] = -1 if word in owner else n
    counts = []
    for n, mine in enumerate(episodes):
        own = Counter(word for text in mine for word in {*_WORD.findall(text)} if owner[word] == n)
        counts.append(max(own.values(), default=1))
    return sorted(counts)[math.ceil(SHARE * len(counts)) - 1]
