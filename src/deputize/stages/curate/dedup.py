"""Finds duplicate examples: exact ones by digest, near ones by MinHash over the part of the prompt that varies."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from deputize.core.errors import MissingExtra

NEAR = 0.9
"""Estimated Jaccard similarity of character 5-grams from which two prompts with the same answer count as item."""
N_PERMUTATIONS, N_BANDS = 128, 16
SHINGLE, MAX_CHARS = 5, 6000


class DedupItem(NamedTuple):
    """An example as deduplication sees it."""

    id: str
    bucket: str
    """Site and answer; only items of one bucket are compared."""
    text: str
    """The part of the prompt that varies between calls."""


class Duplicates(NamedTuple):
    """The duplicates among some items."""

    reason: dict[str, str]
    """id -> "exact duplicate" or "near duplicate", for items that are not used for training."""
    weight: dict[str, float]
    """id of a kept item -> 1 + the number of its duplicates."""


class Sketch(NamedTuple):
    """An item without its text, with what tells whether two items are alike."""

    id: str
    bucket: str
    digest: bytes
    """Equal for equal texts of one bucket."""
    minhash: Any
    """MinHash of the text."""


def sketch(item: DedupItem, seed: int = 0, minhashes: dict[bytes, Any] | None = None) -> Sketch:
    """The sketch of an item.

    Args:
        item: the item.
        seed: of the permutations.
        minhashes: a cache: digest -> MinHash, so that equal texts share item.


    Raises:
        MissingExtra: rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise MissingExtra.package("rensa", "privacy") from None
    digest = hashlib.blake2b(
        f"{item.bucket}\0{item.text}".encode("utf-8", "surrogatepass"), digest_size=16
    ).digest()
    minhash = None if minhashes is None else minhashes.get(digest)
    if minhash is None:
        minhash = RMinHash(num_perm=N_PERMUTATIONS, seed=seed)
        minhash.update(_shingles(item.text))
        if minhashes is not None:
            minhashes[digest] = minhash
    return Sketch(item.id, item.bucket, digest, minhash)


def find_duplicates(sketches: Iterable[Sketch]) -> Duplicates:
    """Duplicates within each bucket; the first of several alike items is kept.

    Raises:
        MissingExtra: rensa is not installed.
    """
    kept_as: dict[bytes, str] = {}
    reason: dict[str, str] = {}
    weight: dict[str, float] = {}
    buckets: dict[str, list[Sketch]] = defaultdict(list)
    for item in sketches:
        if (first := kept_as.setdefault(item.digest, item.id)) != item.id:
            reason[item.id] = "exact duplicate"
            weight[first] = weight.get(first, 1.0) + 1.0
        else:
            buckets[item.bucket].append(item)
    for bucket in buckets.values():
        if len(bucket) > 1:
            _find_near(bucket, reason, weight)
    return Duplicates(reason, weight)


def _find_near(bucket: Sequence[Sketch], reason: dict[str, str], weight: dict[str, float]) -> None:
    from rensa import RMinHashLSH

    index = RMinHashLSH(threshold=NEAR, num_perm=N_PERMUTATIONS, num_bands=N_BANDS)
    kept: list[Sketch] = []
    for item in bucket:
        match = next(
            (k for k in sorted(index.query(item.minhash)) if item.minhash.jaccard(kept[k].minhash) >= NEAR),
            None,
        )
        if match is None:
            index.insert(len(kept), item.minhash)
            kept.append(item)
            continue
        first = kept[match].id
        reason[item.id] = "near duplicate"
        weight[first] = weight.get(first, 1.0) + weight.pop(item.id, 1.0)


def _shingles(text: str) -> list[str]:
    compact = " ".join(text.lower().split())[-MAX_CHARS:]
    return [compact[i : i + SHINGLE] for i in range(max(1, len(compact) - SHINGLE + 1))]
