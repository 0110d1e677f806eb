"""What curation dropped and why, for a person to look at; and what that person put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from deputize.core.artifacts import Curated
from deputize.core.records import Example, Record
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed, write_sealed


class Restored(Record):
    """The calls of a home that are learnt from although a filter dropped them."""

    call_ids: list[str]


def read_restored(home: Path, keyring: KeyRing) -> frozenset[str]:
    """The ids of the calls that a person put back. Raises Tampered or StoreError where they cannot be read."""
    path = home / "restored.sealed"
    return frozenset(read_sealed(path, Restored, keyring).call_ids) if path.exists() else frozenset()


def write_restored(home: Path, keyring: KeyRing, call_ids: frozenset[str]) -> None:
    """Replaces them."""
    write_sealed(home / "restored.sealed", Restored(call_ids=sorted(call_ids)), keyring)


class Drop(NamedTuple):
    """One row of the side table."""

    call_id: str
    reason: str
    site: str
    split: str
    tenant: str
    example: Example | None
    """None where the text must not be shown as de-identified: quarantined, or at a site that speaks to people."""


def drops(records: Iterable[Example | Curated]) -> Iterator[Drop]:
    """The side table: every dropped call among the records of S2, examples first, then what was left out altogether."""
    for record in records:
        if isinstance(record, Curated):
            for w in record.withheld:
                yield Drop(w.call_id, w.reason, w.site, "", w.tenant, None)
        elif not record.trainable:
            yield Drop(record.call_id, record.drop_reason, record.site, record.split, record.tenant, record)
