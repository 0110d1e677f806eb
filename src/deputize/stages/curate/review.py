"""The calls that curation dropped, with reasons, for review by a person; and the calls that a person has put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from deputize.core.artifacts import Curated
from deputize.core.records import Example, Record
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed, write_sealed


class RestoredCalls(Record):
    """The calls of a home that are used for training although a filter dropped them."""

    call_ids: list[str]


def read_restored(home: Path, keyring: KeyRing) -> frozenset[str]:
    """The ids of the calls that a person has put back. Raises Tampered or StoreError where they cannot be read."""
    path = home / "restored.sealed"
    return frozenset(read_sealed(path, RestoredCalls, keyring).call_ids) if path.exists() else frozenset()


def write_restored(home: Path, keyring: KeyRing, call_ids: frozenset[str]) -> None:
    """Replaces the ids of the calls that a person has put back."""
    write_sealed(home / "restored.sealed", RestoredCalls(call_ids=sorted(call_ids)), keyring)


class DroppedCall(NamedTuple):
    """A call that was dropped, and why."""

    call_id: str
    reason: str
    site: str
    split: str
    tenant: str
    example: Example | None
    """None where the call has no de-identified text: quarantined, or at a site that speaks to people."""


def dropped_calls(records: Iterable[Example | Curated]) -> Iterator[DroppedCall]:
    """Every dropped call among the records of curation: calls that are kept but not trained on, then withheld ones."""
    for record in records:
        if isinstance(record, Curated):
            for w in record.withheld:
                yield DroppedCall(w.call_id, w.reason, w.site, "", w.tenant, None)
        elif not record.trainable:
            yield DroppedCall(
                record.call_id, record.drop_reason, record.site, record.split, record.tenant, record
            )
