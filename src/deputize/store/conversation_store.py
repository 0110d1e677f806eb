"""Conversations behind response ids, sealed in HOME/conversations.db under a key for each data subject; erased with it.

The tables are in sql/conversations.sql.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import StoreError, Tampered
from deputize.files import make_file
from deputize.store.keys.ciphers import KEY_BYTES, decrypt, encrypt, pack
from deputize.store.keys.data_keys import subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.sql import load_queries

FILE = "conversations.db"
_VERSION = 2
_BUSY_S = 10.0

_SQL = load_queries("conversations")


class ConversationStore:
    """Conversations of one home. Safe to share between threads; several processes may use the file at once."""

    def __init__(
        self,
        home: Path,
        keyring: KeyRing,
        *,
        max_age_s: float = 30 * 86400.0,
        clock: Callable[[], float] = time,
    ) -> None:
        self._path, self._keyring = home / FILE, keyring
        self._max_age_s, self._clock = max_age_s, clock
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def get(self, tenant: str, response_id: str) -> bytes | None:
        """The data kept behind a response id; None where there is nothing (any more).

        Raises:
            StoreError: the file cannot be read.
            Tampered: it was changed.
        """
        id = self._id(tenant, response_id)
        with self._opened() as db:
            row = db.execute(_SQL["get"], (id,)).fetchone()
        if row is None or row[0] < self._clock() - self._max_age_s:
            return None
        key = AESGCM(self._keyring.unwrap(row[4], row[5], _key_aad(row[2], row[3])))
        return decrypt(key, row[1], pack("conversation", id), "A conversation")

    def put(
        self,
        tenant: str,
        origin: str,
        response_id: str,
        data: bytes,
        *,
        others: Collection[str] = (),
        earlier: str = "",
        begun_at: float | None = None,
    ) -> bool:
        """Keeps data behind a response id, unless it was under way when something of it was erased.

        Args:
            tenant: whose it is.
            origin: who asked (a pseudonym), "" where nobody says.
            response_id: by which it is asked for.
            data: what is kept.
            others: pseudonyms of those who have words in it too.
            earlier: the response id that it goes on from.
            begun_at: Unix seconds; None: now.

        Returns:
            False where it is not kept.

        Raises:
            StoreError: it cannot be kept.
        """
        id, subject = self._id(tenant, response_id), subject_of(self._keyring, tenant, origin)
        people = [self._grave(tenant, one) for one in {origin, *others} - {""}]
        begun = self._clock() if begun_at is None else begun_at
        with self._changing() as db:
            if (earlier and _erased_at(db, self._id(tenant, earlier)) is not None) or any(
                (at := _erased_at(db, one)) is not None and begun <= at for one in people
            ):
                return False
            key_id, key = self._key(db, tenant, subject)
            sealed = encrypt(key, data, pack("conversation", id))
            db.execute(_SQL["put"], (id, self._clock(), key_id, sealed))
        return True

    def _key(self, db: sqlite3.Connection, tenant: str, subject: bytes) -> tuple[int, AESGCM]:
        """The subject's key. Not kept open: another process may have erased the subject since."""
        aad = _key_aad(tenant, subject)
        row = db.execute(_SQL["find_subject"], (tenant, subject)).fetchone()
        if row is not None:
            return row[0], AESGCM(self._keyring.unwrap(row[1], row[2], aad))
        self._keyring.reload()  # never under a wrapping key that a rotation is about to destroy
        raw = os.urandom(KEY_BYTES)
        made = db.execute(_SQL["add_subject"], (tenant, subject, *self._keyring.wrap(raw, aad))).lastrowid
        return made or 0, AESGCM(raw)

    def erase(self, tenant: str, origin: str) -> int:
        """Destroys the key and the conversations of one origin (a pseudonym); returns how many conversations there
        were. Those that are under way are not kept any more.

        Raises:
            StoreError: it could not be done.
        """
        subject = subject_of(self._keyring, tenant, origin)
        with self._changing() as db:
            ids = [(row[0],) for row in db.execute(_SQL["find_subject"], (tenant, subject)).fetchall()]
            gone = [row for id in ids for row in db.execute(_SQL["of_subject"], id).fetchall()]
            self._bury(db, [self._grave(tenant, origin), *(row[0] for row in gone)])
            n_deleted = sum(db.execute(_SQL["delete_of_subject"], id).rowcount for id in ids)
            db.executemany(_SQL["delete_subject"], ids)
        self._truncate()
        return n_deleted

    def erase_matching(
        self, tenant: str, is_wanted: Callable[[bytes], bool], response_ids: Iterable[str] = ()
    ) -> int:
        """Deletes the conversations of a tenant whose data are wanted, and those behind some response ids; returns how
        many.

        One that cannot be opened any more does not stand in the way.

        Raises:
            StoreError: it could not be done.
        """
        behind = {self._id(tenant, one) for one in response_ids}
        with self._changing() as db:
            gone = []
            for id, sealed, *wrapped in db.execute(_SQL["of_tenant"], (tenant,)).fetchall():
                with suppress(Tampered):
                    if id in behind or is_wanted(self._data(id, sealed, tenant, *wrapped)):
                        gone.append((id,))
            db.executemany(_SQL["delete_one"], gone)
            self._bury(db, [*(row[0] for row in gone), *behind])
            db.execute(_SQL["delete_idle_subjects"])
        self._truncate()
        return len(gone)

    def all(self, tenant: str) -> Iterator[bytes]:
        """The data of every conversation of a tenant that can be opened.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._opened() as db:
            rows = db.execute(_SQL["of_tenant"], (tenant,)).fetchall()
        for id, sealed, *wrapped in rows:
            with suppress(Tampered):
                yield self._data(id, sealed, tenant, *wrapped)

    def _data(self, id: bytes, sealed: bytes, tenant: str, subject: bytes, by: str, wrapped: bytes) -> bytes:
        key = AESGCM(self._keyring.unwrap(by, wrapped, _key_aad(tenant, subject)))
        return decrypt(key, sealed, pack("conversation", id), "A conversation")

    def expire(self, *, tenant: str, before: float) -> int:
        """Deletes a tenant's conversations from before a Unix time; returns how many."""
        with self._changing() as db:
            n_deleted = db.execute(_SQL["expire"], (before, tenant)).rowcount
            db.execute(_SQL["delete_idle_subjects"])
        self._truncate()
        return n_deleted

    def rewrap(self) -> int:
        """Wraps every key again with the ring's active wrapping key; returns how many (see maintenance.rotation)."""
        n_keys = 0
        with self._changing() as db:
            for id, tenant, subject, by, wrapped in db.execute(_SQL["all_subjects"]).fetchall():
                if by != self._keyring.wrapping_id:
                    aad = _key_aad(tenant, subject)
                    again = self._keyring.wrap(self._keyring.unwrap(by, wrapped, aad), aad)
                    db.execute(_SQL["rewrap_subject"], (*again, id))
                    n_keys += 1
        self._truncate()
        return n_keys

    def close(self) -> None:
        """Closes the file; it is opened again when it is needed."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _bury(self, db: sqlite3.Connection, whats: Iterable[bytes]) -> None:
        now = self._clock()
        db.executemany(_SQL["bury"], ((what, now) for what in whats))

    def _grave(self, tenant: str, origin: str) -> bytes:
        """The mark of a data subject among what was erased."""
        return self._keyring.lookup("erased subject", tenant, origin)

    def _id(self, tenant: str, response_id: str) -> bytes:
        return self._keyring.lookup("conversation", tenant, response_id)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._db is None:
                    self._db = self._connect()
                yield self._db
            except sqlite3.Error as error:
                raise StoreError(f"The conversations in {self._path} cannot be used now: {error}.") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        with suppress(OSError):  # said in the words of sqlite below
            make_file(self._path)
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=_BUSY_S, isolation_level=None)
        try:
            # secure_delete: a deleted key is overwritten, not just unlinked
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for statement in _SQL["schema"].split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")
            for old in ("delete_old", "delete_old_graves"):
                db.execute(_SQL[old], (self._clock() - self._max_age_s,))
            db.execute(_SQL["delete_idle_subjects"])
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _truncate(self) -> None:
        """Empties the write-ahead log, where old pages would stay until it is overwritten."""
        with self._opened() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _erased_at(db: sqlite3.Connection, what: bytes) -> float | None:
    row = db.execute(_SQL["erased_at"], (what,)).fetchone()
    return None if row is None else float(row[0])


def _key_aad(tenant: str, subject: bytes) -> bytes:
    return pack("conversation-key", tenant, subject)
