"""Finds examples that say the same twice: exactly by digest, nearly by MinHash over what varies in their prompts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from deputize.core.errors import MissingExtra

NEAR = 0.9
"""Estimated Jaccard similarity of character 5-grams from which two prompts with the same answer count as one."""
N_PERMUTATIONS, N_BANDS = 128, 16
SHINGLE, MAX_CHARS = 5, 6000


class DedupItem(NamedTuple):
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


class Sketch(NamedTuple):
    """An item without its text: what is needed to tell whether two items are alike."""

    id: str
    bucket: str
    digest: bytes
    """Equal for equal texts of one bucket."""
    minhash: Any
    """MinHash of the text."""


def sketch(item: DedupItem, seed: int = 0, known: dict[bytes, Any] | None = None) -> Sketch:
    """An item's sketch; `known` keeps the MinHash of texts seen already, so that equal ones share it.

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
    minhash = None if known is None else known.get(digest)
    if minhash is None:
        minhash = RMinHash(num_perm=N_PERMUTATIONS, seed=seed)
        minhash.update(_shingles(item.text))
        if known is not None:
            known[digest] = minhash
    return Sketch(item.id, item.bucket, digest, minhash)


def find_duplicates(sketches: Iterable[Sketch]) -> Duplicates:
    """Duplicates inside each bucket; the first item of each family is kept.

    Raises:
        MissingExtra: rensa is not installed.
    """
    kept_as: dict[bytes, str] = {}
    reason: dict[str, str] = {}
    weight: dict[str, float] = {}
    buckets: dict[str, list[Sketch]] = defaultdict(list)
    for one in sketches:
        if (first := kept_as.setdefault(one.digest, one.id)) != one.id:
            reason[one.id] = "exact duplicate"
            weight[first] = weight.get(first, 1.0) + 1.0
        else:
            buckets[one.bucket].append(one)
    for bucket in buckets.values():
        if len(bucket) > 1:
            _near(bucket, reason, weight)
    return Duplicates(reason, weight)


def _near(bucket: Sequence[Sketch], reason: dict[str, str], weight: dict[str, float]) -> None:
    from rensa import RMinHashLSH

    index = RMinHashLSH(threshold=NEAR, num_perm=N_PERMUTATIONS, num_bands=N_BANDS)
    kept: list[Sketch] = []
    for one in bucket:
        twin = next(
            (k for k in sorted(index.query(one.minhash)) if one.minhash.jaccard(kept[k].minhash) >= NEAR),
            None,
        )
        if twin is None:
            index.insert(len(kept), one.minhash)
            kept.append(one)
            continue
        first = kept[twin].id
        reason[one.id] = "near duplicate"
        weight[first] = weight.get(first, 1.0) + weight.pop(one.id, 1.0)


def _shingles(text: str) -> list[str]:
    compact = " ".join(text.lower().split())[-MAX_CHARS:]
    return [compact[i : i + SHINGLE] for i in range(max(1, len(compact) - SHINGLE + 1))]
