"""The data keys of the SQLite store: made on first use, wrapped in the database, kept open in memory.

All methods run inside a transaction of the caller, who also says when the cache may have gone stale.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict

from deputize.store.keys.ciphers import KEY_BYTES
from deputize.store.keys.data_keys import DataKey, key_aad, subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.sql import load_queries

_SQL = load_queries("sqlite")


class DataKeys:
    """Opened data keys, the most recently used `size` of them."""

    def __init__(self, keyring: KeyRing, *, size: int = 8192) -> None:
        self._keyring, self._size = keyring, size
        self._by_subject: OrderedDict[tuple[str, str, str], DataKey] = OrderedDict()
        self._fresh: list[tuple[str, str, str]] = []

    def __len__(self) -> int:
        return len(self._by_subject)

    def clear(self) -> None:
        """Forgets all: keys were erased or wrapped again elsewhere."""
        self._by_subject.clear()

    def begin(self) -> None:
        """A transaction starts."""
        self._fresh.clear()

    def rolled_back(self) -> None:
        """The transaction failed: keys made in it were never stored."""
        for name in self._fresh:
            self._by_subject.pop(name, None)
        self._fresh.clear()

    def obtain(self, db: sqlite3.Connection, tenant: str, origin: str, month: str) -> DataKey:
        """The key of a subject's month, made where there is none; inside a write transaction."""
        name = (tenant, origin, month)
        key = self._by_subject.get(name)
        if key is not None:
            self._by_subject.move_to_end(name)
            return key
        subject = subject_of(self._keyring, tenant, origin)
        row = db.execute(_SQL["find_key"], (tenant, subject, month)).fetchone()
        if row is not None:
            key = DataKey(
                row[0], tenant, self._keyring.unwrap(row[1], row[2], key_aad(tenant, subject, month))
            )
        else:
            raw = os.urandom(KEY_BYTES)
            wrapped_by, wrapped = self._keyring.wrap(raw, key_aad(tenant, subject, month))
            made = db.execute(_SQL["add_key"], (tenant, subject, month, wrapped_by, wrapped)).lastrowid
            key = DataKey(made or 0, tenant, raw)
            self._fresh.append(name)
        self._by_subject[name] = key
        if len(self._by_subject) > self._size:
            self._by_subject.popitem(last=False)
        return key


class DataKeySnapshot:
    """Data keys by id as one snapshot of the database has them; None where one was destroyed."""

    def __init__(self, db: sqlite3.Connection, keyring: KeyRing) -> None:
        self._db, self._keyring = db, keyring
        self._known: dict[int, DataKey | None] = {}

    def get(self, id: int) -> DataKey | None:
        if id not in self._known:
            row = self._db.execute(_SQL["get_key"], (id,)).fetchone()
            self._known[id] = None
            if row is not None:
                tenant, subject, month, wrapped_by, wrapped = row
                raw = self._keyring.unwrap(wrapped_by, wrapped, key_aad(tenant, subject, month))
                self._known[id] = DataKey(id, tenant, raw)
        return self._known[id]
