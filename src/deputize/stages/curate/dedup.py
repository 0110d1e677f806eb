"""Finds examples that say the same twice: exactly by digest, nearly by MinHash over what varies in their prompts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from deputize.core.errors import MissingExtra

NEAR = 0.9
"""Estimated Jaccard similarity of character 5-grams from which two prompts with the same answer count as one."""
N_PERMUTATIONS, N_BANDS = 128, 16
SHINGLE, MAX_CHARS = 5, 6000


class Item(NamedTuple):
    """What dedup knows of an example."""

    id: str
    bucket: str
    """Site and answer; only items of one bucket are compared."""
    text: str
    """What varies in the prompt."""


class Duplicates(NamedTuple):
    """What was found."""

    reason: dict[str, str]
    """id -> "exact duplicate" or "near duplicate", for items that need not be learnt."""
    weight: dict[str, float]
    """id of a kept item -> 1 + the number of items it stands for."""


def find_duplicates(items: Sequence[Item], seed: int = 0) -> Duplicates:
    """Duplicates inside each bucket; the first item of each family is kept.

    Raises:
        MissingExtra: rensa is not installed.
    """
    kept_as: dict[bytes, str] = {}
    reason: dict[str, str] = {}
    weight: dict[str, float] = {}
    buckets: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        key = hashlib.blake2b(
            f"{item.bucket}\0{item.text}".encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()
        if (first := kept_as.setdefault(key, item.id)) != item.id:
            reason[item.id] = "exact duplicate"
            weight[first] = weight.get(first, 1.0) + 1.0
        else:
            buckets[item.bucket].append(item)
    for bucket in buckets.values():
        if len(bucket) > 1:
            _near(bucket, seed, reason, weight)
    return Duplicates(reason, weight)


def _near(bucket: Sequence[Item], seed: int, reason: dict[str, str], weight: dict[str, float]) -> None:
    try:
        from rensa import RMinHash, RMinHashLSH
    except ImportError:
        raise MissingExtra.package("rensa", "privacy") from None
    index = RMinHashLSH(threshold=NEAR, num_perm=N_PERMUTATIONS, num_bands=N_BANDS)
    kept: list[tuple[str, object]] = []
    for item in bucket:
        sketch = RMinHash(num_perm=N_PERMUTATIONS, seed=seed)
        sketch.update(_shingles(item.text))
        twin = next((k for k in sorted(index.query(sketch)) if sketch.jaccard(kept[k][1]) >= NEAR), None)
        if twin is None:
            index.insert(len(kept), sketch)
            kept.append((item.id, sketch))
            continue
        first = kept[twin][0]
        reason[item.id] = "near duplicate"
        weight[first] = weight.get(first, 1.0) + weight.pop(item.id, 1.0)


def _shingles(text: str) -> list[str]:
    compact = " ".join(text.lower().split())[-MAX_CHARS:]
    return [compact[i : i + SHINGLE] for i in range(max(1, len(compact) - SHINGLE + 1))]
