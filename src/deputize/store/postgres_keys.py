"""The data keys of the PostgreSQL store: made on first use, wrapped in the database, kept open in memory for one epoch.

An epoch ends when a process erases, expires or wraps again; what was known of the one before is dropped.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from deputize.core.errors import StoreError
from deputize.store.keys.ciphers import KEY_BYTES
from deputize.store.keys.data_keys import DataKey, key_aad, subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.sql import load_queries

if TYPE_CHECKING:
    from deputize.store.postgres_connection import Connection

_SQL = load_queries("postgres")

KeyName = tuple[str, str, str]
"""(tenant, origin, month)."""


def written(tenant: str) -> str:
    """A tenant as a column of text holds it, which cannot hold a zero byte nor half a surrogate pair."""
    return tenant.replace("\\", "\\\\").replace("\0", "\\0").encode("utf-8", "replace").decode()


def read_back(tenant: str) -> str:
    """The tenant that was `written`."""
    return "\\".join(part.replace("\\0", "\0") for part in tenant.split("\\\\"))


class Epoch:
    """Tombstones, partitions and opened data keys between two erasures; of the keys the most recently used `size`.

    Safe to share between threads.
    """

    def __init__(self, number: str, tombstones: Mapping[tuple[str, bytes], float], size: int) -> None:
        self.number, self.tombstones = number, tombstones
        self.partitions: set[tuple[str, str]] = set()
        """(tenant, month) of those that are there: none goes before the epoch ends."""
        self._size, self._lock = size, threading.Lock()
        self._keys: OrderedDict[KeyName, DataKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def known(self, names: Collection[KeyName]) -> dict[KeyName, DataKey]:
        """Those of the keys that are open."""
        with self._lock:
            found = {name: self._keys[name] for name in names if name in self._keys}
            for name in found:
                self._keys.move_to_end(name)
            return found

    def keep(self, keys: Mapping[KeyName, DataKey]) -> None:
        """Keys whose transaction is over."""
        with self._lock:
            self._keys.update(keys)
            while len(self._keys) > self._size:
                self._keys.popitem(last=False)


def check_wrapping(keyring: KeyRing, generation: str, name: str) -> None:
    """Checks that the keys folder of this machine is not older than the store.

    Raises:
        StoreError: another machine has rotated the keys since; what is wrapped with ours could soon be opened by
            nobody.
    """
    if not keyring.knows(generation):
        keyring.reload()
    if not keyring.knows(generation):
        raise StoreError(
            f"The keys in {name} were changed from another machine (wrapping key {generation}), and the keys folder here is "
            "older: copy that machine's keys/ring.json and key file here. Until then calls wait in the journal."
        )


def obtain_keys(
    db: Connection, keyring: KeyRing, epoch: Epoch, names: Collection[KeyName]
) -> dict[KeyName, DataKey]:
    """The keys of subjects' months, made where there are none; inside a transaction that holds the store with others.

    The caller keeps them (`Epoch.keep`) once the transaction is over.
    """
    found = epoch.known(names)
    # in one order everywhere, so that no two writers wait for each other
    subjects = {
        (written(t), subject_of(keyring, t, o), m): (t, o, m) for t, o, m in set(names) - found.keys()
    }
    wanted = sorted(subjects)
    if not wanted:
        return found
    columns: dict[str, list[str] | list[bytes]] = {
        "tenants": [t for t, _, _ in wanted],
        "subjects": [s for _, s, _ in wanted],
        "months": [m for _, _, m in wanted],
    }
    rows = db.execute(_SQL["find_keys"], columns).fetchall()
    if missing := sorted(set(wanted) - {(t, bytes(s), m) for t, s, m, *_ in rows}):
        wrapped = [keyring.wrap(os.urandom(KEY_BYTES), key_aad(read_back(t), s, m)) for t, s, m in missing]
        db.execute(
            _SQL["add_keys"],
            {
                "tenants": [t for t, _, _ in missing],
                "subjects": [s for _, s, _ in missing],
                "months": [m for _, _, m in missing],
                "wrapped_by": [by for by, _ in wrapped],
                "wrapped": [key for _, key in wrapped],
            },
        )
        # of two writers that make one at once the first one's holds
        rows = db.execute(_SQL["find_keys"], columns).fetchall()
    for tenant, subject, month, id, by, key in rows:
        name = subjects[tenant, bytes(subject), month]
        found[name] = opened(keyring, id, tenant, bytes(subject), month, by, bytes(key))
    return found


def opened(
    keyring: KeyRing, id: int, tenant: str, subject: bytes, month: str, wrapped_by: str, wrapped: bytes
) -> DataKey:
    """The data key of a row, its tenant as it was `written`."""
    whose = read_back(tenant)
    return DataKey(id, whose, keyring.unwrap(wrapped_by, wrapped, key_aad(whose, subject, month)))


class RowKeys:
    """Data keys that come with the rows of one reading, each opened once."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._known: dict[int, DataKey] = {}

    def of(
        self, id: int, tenant: str, subject: bytes, month: str, wrapped_by: str, wrapped: bytes
    ) -> DataKey:
        key = self._known.get(id)
        if key is None:
            key = opened(self._keyring, id, tenant, bytes(subject), month, wrapped_by, bytes(wrapped))
            self._known[id] = key
        return key
