"""The calls that tasks are found on: all of a small log, of a large one a seeded sample of whole groups, and some of
every kind.

A call's kind is its signature with the head of its system prompt. A uniform sample has hardly a call of a kind that is
one in a million, so of each kind some calls are kept besides.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from deputize.core.records import Example
from deputize.core.signature import has_media, signature
from deputize.core.template_key import opening

MOST_CALLS = 100_000
"""Calls that tasks are found on; discovery takes 2 to 10 kB of memory for each."""
MOST_OF_GROUP = 1_000
"""Calls of one group that come or go together; one that is longer would leave no room for others."""
MOST_KINDS, MOST_OF_KIND = 500, 50
_HEAD_CHARS = 200

Item = tuple[int, int, Example]
"""(digest, place in the log, example)."""


@dataclass
class DiscoverySample:
    """Calls of a stream, as many as MOST_CALLS; a result does not depend on the order in which groups come."""

    seed: int
    most: int = MOST_CALLS
    n_seen: int = 0
    """Calls that were offered."""
    _groups: dict[int, list[Item]] = field(default_factory=dict)
    """Digest of a group -> its calls."""
    _largest: list[int] = field(default_factory=list)
    """The digests of the groups that are here, negated, as a heap: the largest goes first."""
    _limit: int = 1 << 64
    """Groups with this digest, or a larger one, are out."""
    _n_kept: int = 0
    _n_of_group: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict)
    """Group -> the id of its first call."""
    _kinds: dict[str, list[Item]] = field(default_factory=dict)

    def add_all(self, examples: Iterable[Example]) -> None:
        """Offers the examples of a log in their order."""
        for place, example in enumerate(examples):
            self.n_seen += 1
            name = example.group or example.episode or example.call_id
            self._n_of_group[name] += 1
            alone = self._n_of_group[name] > MOST_OF_GROUP
            # the name of a group comes from a secret of the home; the ids of its calls are those of the log
            digest = self._digest(example.call_id if alone else self._first.setdefault(name, example.call_id))
            self._offer((digest, place, example))
            self._offer_of_kind((self._digest(example.call_id), place, example))

    def examples(self) -> list[Example]:
        """The sample, in the order of the log."""
        found = {place: example for calls in self._groups.values() for _, place, example in calls}
        if self._limit < 1 << 64:
            found |= {
                place: example for calls in self._kinds.values() for _, place, example in map(_as_item, calls)
            }
        return [found[place] for place in sorted(found)]

    def _offer(self, item: Item) -> None:
        digest = item[0]
        if digest >= self._limit:
            return
        if digest not in self._groups:
            self._groups[digest] = []
            heapq.heappush(self._largest, -digest)
        self._groups[digest].append(item)
        self._n_kept += 1
        while self._n_kept > self.most:
            self._limit = -heapq.heappop(self._largest)
            self._n_kept -= len(self._groups.pop(self._limit))

    def _offer_of_kind(self, item: Item) -> None:
        digest, place, example = item
        if has_media(example.request):
            return
        kind = signature(example.request) + opening(example.request)[0][:_HEAD_CHARS]
        heap = self._kinds.get(kind)
        if heap is None:
            if len(self._kinds) >= MOST_KINDS:
                return
            heap = self._kinds[kind] = []
        turned = (-digest, place, example)
        if len(heap) < MOST_OF_KIND:
            heapq.heappush(heap, turned)
        else:
            heapq.heappushpop(heap, turned)

    def _digest(self, name: str) -> int:
        written = f"{self.seed}\0{name}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(written, digest_size=8).digest())


def _as_item(turned: Item) -> Item:
    return -turned[0], turned[1], turned[2]
