"""Tables of the distinct lines of a log, packed: a log of a million calls has several million, and a dict entry takes
ten times the room.

In memory only, and nothing of a line's text but what was found in it.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Iterable

from deputize.privacy.scan.ensemble import Finding

_BUCKET_BYTES, _NUMBER_BYTES = 2, 4
"""Bytes of a digest that choose a bucket, and of the number of a line."""


class LineNumbers:
    """Numbers of lines by their digests, in the order in which lines were added; some 23 bytes a line."""

    def __init__(self, n_bytes: int) -> None:
        """
        Args:
            n_bytes: of each digest.
        """
        self._n_kept = n_bytes - _BUCKET_BYTES
        self._buckets: dict[bytes, bytearray] = {}
        """First bytes of the digest -> the rest of each digest with the number of its line."""
        self._n_lines = 0

    def __len__(self) -> int:
        return self._n_lines

    def get(self, digest: bytes) -> int | None:
        """The number of a line; None where it was not added."""
        bucket = self._buckets.get(digest[:_BUCKET_BYTES])
        if bucket is None:
            return None
        rest, size = digest[_BUCKET_BYTES:], self._n_kept + _NUMBER_BYTES
        at = bucket.find(rest)
        while at > 0 and at % size:  # across two items
            at = bucket.find(rest, at + 1)
        return int.from_bytes(bucket[at + self._n_kept : at + size]) if at >= 0 else None

    def __getitem__(self, digest: bytes) -> int:
        number = self.get(digest)
        if number is None:
            raise KeyError(digest)
        return number

    def add(self, digest: bytes) -> int:
        """Adds a line that is not here yet and returns its number."""
        number = self._n_lines
        bucket = self._buckets.setdefault(digest[:_BUCKET_BYTES], bytearray())
        bucket += digest[_BUCKET_BYTES:] + number.to_bytes(_NUMBER_BYTES)
        self._n_lines += 1
        return number


class LineFindings:
    """The findings in lines by their numbers; most lines have none, and take 8 bytes at most."""

    def __init__(self) -> None:
        self._place = array("Q")
        """By line one more than where its findings begin in `_packed`, 0 where it has none."""
        self._packed = bytearray()
        self._types: dict[str, int] = {}

    def put(self, number: int, findings: Iterable[Finding]) -> None:
        """Keeps the findings in a line in the place of earlier ones."""
        if number >= len(self._place):
            self._place.extend([0] * (number + 1 - len(self._place)))
        self._place[number] = 1 + len(self._packed)
        types = self._types
        # detectors may give scores of numpy's types, which cannot be packed
        rows = tuple((types.setdefault(f.type, len(types)), str(f.value), float(f.score)) for f in findings)
        self._packed += marshal.dumps(rows)

    def get(self, number: int) -> tuple[Finding, ...]:
        """The findings in a line."""
        place = self._place[number] if number < len(self._place) else 0
        if not place:
            return ()
        names = tuple(self._types)
        # what follows the value is not read
        rows = marshal.loads(memoryview(self._packed)[place - 1 :])
        return tuple(Finding(names[kind], value, score) for kind, value, score in rows)
