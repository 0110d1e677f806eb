"""One data key per (tenant, data subject, month): made on first use, wrapped in the database, kept open in memory.

All methods run inside a transaction of the caller, who also says when the cache may have gone stale.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import OrderedDict

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.store.keys.ciphers import KEY_BYTES, decrypt, encrypt, pack
from deputize.store.keys.keyring import KeyRing
from deputize.store.sql import load_queries

_SQL = load_queries("sqlite")
UNDATED = "undated"


class DataKey:
    """One key, opened: encrypts payloads bound to their tenant, kind, record id, schema version and key id."""

    __slots__ = ("_aad", "_aead", "id", "tenant")

    def __init__(self, id: int, tenant: str, raw: bytes) -> None:
        self.id, self.tenant = id, tenant
        self._aead = AESGCM(raw)
        self._aad = pack(tenant, id)

    def encrypt(self, kind: bytes, record: bytes, schema: int, data: bytes) -> bytes:
        return encrypt(self._aead, data, self._bound(kind, record, schema))

    def decrypt(self, kind: bytes, record: bytes, schema: int, blob: bytes) -> bytes:
        """Raises Tampered when the blob was changed or belongs to another record, tenant or key."""
        what = f"The stored {kind.decode()} {record.hex() or 'record'} (data key {self.id})"
        return decrypt(self._aead, blob, self._bound(kind, record, schema), what)

    def _bound(self, kind: bytes, record: bytes, schema: int) -> bytes:
        # lengths: the prefix packs its own, record ids are of one length per kind, and the kind comes last
        return b"%b%b|%d|%b" % (self._aad, record, schema, kind)


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


def subject_of(keyring: KeyRing, tenant: str, origin: str) -> bytes:
    """What stands for a data subject in the database."""
    return keyring.lookup("subject", tenant, origin)


def key_aad(tenant: str, subject: bytes, month: str) -> bytes:
    """What a wrapped data key is bound to: it cannot be given to another subject."""
    return pack(tenant, subject, month)


def month_of(timestamp: float | None) -> str:
    """The month of a Unix time, as 2026-03 in UTC."""
    if timestamp is None:
        return UNDATED
    try:
        moment = time.gmtime(timestamp)
    except (OverflowError, ValueError, OSError):
        return UNDATED
    return f"{moment.tm_year:04d}-{moment.tm_mon:02d}"
