"""Conversations behind the response ids that we gave out ourselves, so that `previous_response_id` works on them.

A response that a specialist or a translated upstream answered is unknown to every server but this one. Kept sealed
in HOME/sessions.db, shared by all workers, for `max_age_s`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Protocol

import msgspec

from deputize.core.errors import StoreError
from deputize.core.records import Message, Record
from deputize.store.keys import KeyRing

OURS = "resp_dpz-"
"""How response ids begin that we gave out."""


class Session(Record):
    """What stands behind a response id."""

    messages: list[Message] = msgspec.field(default_factory=list)
    """The conversation up to and including the answer, without instructions."""
    upstream: str = ""
    """The upstream that keeps this response itself."""


class Sessions(Protocol):
    """Keeps sessions by tenant and response id."""

    async def get(self, tenant: str, response_id: str) -> Session | None: ...

    async def put(self, tenant: str, response_id: str, session: Session) -> None: ...


class SealedSessions:
    """Sessions in a SQLite file, sealed, off the event loop."""

    def __init__(
        self,
        path: Path,
        keyring: KeyRing,
        *,
        max_age_s: float = 30 * 86400.0,
        clock: Callable[[], float] = time,
    ) -> None:
        self._path, self._keyring, self._max_age_s, self._clock = path, keyring, max_age_s, clock
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self._path, check_same_thread=False, timeout=10.0, isolation_level=None)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute(
                "CREATE TABLE IF NOT EXISTS session (id BLOB PRIMARY KEY, at REAL NOT NULL, sealed BLOB NOT NULL)"
                " WITHOUT ROWID"
            )
            db.execute("CREATE INDEX IF NOT EXISTS session_at ON session (at)")
            db.execute("DELETE FROM session WHERE at < ?", (self._clock() - self._max_age_s,))
            self._db = db
        return self._db

    def _key(self, tenant: str, response_id: str) -> bytes:
        return self._keyring.lookup("session", tenant, response_id)

    def _get(self, tenant: str, response_id: str) -> Session | None:
        key = self._key(tenant, response_id)
        try:
            with self._lock:
                row = self._open().execute("SELECT at, sealed FROM session WHERE id = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"Sessions cannot be read: {error}.") from error
        if row is None or row[0] < self._clock() - self._max_age_s:
            return None
        return msgspec.json.decode(self._keyring.unseal(row[1], key), type=Session)

    def _put(self, tenant: str, response_id: str, session: Session) -> None:
        key = self._key(tenant, response_id)
        sealed = self._keyring.seal(msgspec.json.encode(session), key)
        try:
            with self._lock:
                self._open().execute(
                    "INSERT OR REPLACE INTO session VALUES (?, ?, ?)", (key, self._clock(), sealed)
                )
        except sqlite3.Error as error:
            raise StoreError(f"A session cannot be kept: {error}.") from error

    async def get(self, tenant: str, response_id: str) -> Session | None:
        """The session behind an id, None where there is none (any more).

        Raises:
            StoreError: the file cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self._get, tenant, response_id)

    async def put(self, tenant: str, response_id: str, session: Session) -> None:
        """Keeps a session.

        Raises:
            StoreError: it cannot be kept.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._put, tenant, response_id, session)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None
