"""The default store: one SQLite file (WAL), payloads encrypted before they reach it.

Several processes may write at once; each commit is synced to the disk before `append` returns.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import RECORD_VERSION, Call, Message, encode
from deputize.files import make_file, make_folder
from deputize.store.base import Entry, Erased, Feedback
from deputize.store.codec import Outcomes, checked_feedback, decode_record, entry_of, is_about
from deputize.store.filing import AgentDigests, episode_digest, late_episodes, n_ended, was_erased
from deputize.store.keys.data_keys import key_aad, month_of, subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.moving import StoredRows
from deputize.store.registry import StoreContext
from deputize.store.sql import load_queries
from deputize.store.sqlite_arrival import check_arrived
from deputize.store.sqlite_errors import errors_in_words
from deputize.store.sqlite_keys import DataKeys, DataKeySnapshot
from deputize.store.sqlite_rows import CALL, end_episodes, load_rows, opened_call, stored_rows, what_to_erase

_log = logging.getLogger("deputize.store")
_SQL = load_queries("sqlite")
_SCHEMA = 2
_APPLICATION_ID = 0x44505554  # "DPUT": tells our files from other SQLite files
_FEEDBACK = b"feedback"
_PATIENCE, _ASK_AGAIN_S = 6.0, 0.0005
STORE_FILE = "store.db"
_GET_AT_ONCE = 64
"""Calls that `get` reads in one snapshot."""


def build(place: StoreContext) -> SqliteStore:
    """The store in HOME/store.db, as store.registry asks for it. Raises StoreError where it cannot be opened."""
    check_arrived(place.folder / STORE_FILE)
    return SqliteStore(
        place.folder / STORE_FILE, place.keyring, busy_timeout_s=place.busy_timeout_s, clock=place.clock
    )


class SqliteStore:
    """See store.base.Store for the contract."""

    def __init__(
        self,
        path: Path,
        keyring: KeyRing,
        *,
        busy_timeout_s: float = 10.0,
        max_bytes: int | None = None,
        key_cache: int = 8192,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            path: the file.
            keyring: its keys.
            busy_timeout_s: how long to wait for another writer before StoreError.
            max_bytes: the size the file may reach; beyond it the store counts as full.
            key_cache: data keys kept open in memory.
            clock: Unix seconds.
        """
        self.path, self.keyring = path, keyring
        self._busy_timeout_s, self._clock = busy_timeout_s, clock
        self._lock = threading.RLock()
        self._keys = DataKeys(keyring, size=key_cache)
        self._epoch = ""
        self._tombstones: dict[tuple[str, bytes], float] = {}
        self._agents = AgentDigests(self.keyring)
        self._closed = False
        with errors_in_words(path, busy_timeout_s):
            try:
                make_folder(path.parent)
                make_file(path)
            except OSError as error:
                raise StoreError(f"{path.parent} cannot be made: {error.strerror or error}.") from error
            self._db = self._connect()
            try:
                self._prepare()
                if max_bytes is not None:
                    page = self._db.execute("PRAGMA page_size").fetchone()[0]
                    self._db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")
            except BaseException:
                self._db.close()
                raise

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        db.execute("PRAGMA temp_store = MEMORY")
        return db

    def _prepare(self) -> None:
        db = self._db
        # FULL: a commit is on the disk when it returns. secure_delete: a deleted key is overwritten, not just unlinked
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",
            "wal_autocheckpoint = 4000",
            "journal_size_limit = 67108864",
        ):
            db.execute(f"PRAGMA {pragma}")
        with self._write():
            application, version = (
                db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version")
            )
            if version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _SQL["schema"].split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {_SCHEMA}")
                db.execute(_SQL["set_meta"], ("ring", self.keyring.id))
                db.execute(_SQL["set_meta"], ("epoch", "0"))
            elif application != _APPLICATION_ID or version != _SCHEMA:
                raise StoreError(
                    f"{self.path} is not a store of this version (application {application:#x}, version {version}; "
                    f"needed {_APPLICATION_ID:#x}, {_SCHEMA}): open it with the release that made it, or begin a new home."
                )
            ring = db.execute(_SQL["get_meta"], ("ring",)).fetchone()
            if ring is None or ring[0] != self.keyring.id:
                raise StoreError(
                    f"{self.path} was written with the key ring {ring[0] if ring else '(none)'}, and the keys folder holds "
                    f"{self.keyring.id}: restore the keys folder that belongs to it."
                )
            self._check_moved(db)

    @contextmanager
    def _write(self, *, patient: bool = False) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it is on the disk afterwards, or none of it.

        `patient` ones (erasures, rotations) wait longer and ask more often: SQLite's lock goes to who asks first after
        it is given back, and a gateway under load asks again at once.
        """
        with self._lock, errors_in_words(self.path, self._busy_timeout_s):
            if self._closed:
                raise StoreError(f"{self.path} is closed.")
            db = self._db
            if patient:
                self._begin_patiently(db)
            else:
                db.execute("BEGIN IMMEDIATE")
            self._keys.begin()
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                self._keys.rolled_back()
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _begin_patiently(self, db: sqlite3.Connection) -> None:
        until = time.monotonic() + _PATIENCE * self._busy_timeout_s
        db.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    db.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                        raise
                time.sleep(_ASK_AGAIN_S)
        finally:
            db.execute(f"PRAGMA busy_timeout = {int(1000 * self._busy_timeout_s)}")

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One snapshot on a connection of its own, so that reading never waits for a writer."""
        with errors_in_words(self.path, self._busy_timeout_s):
            if self._closed:
                raise StoreError(f"{self.path} is closed.")
            with closing(self._connect()) as db:
                db.execute("PRAGMA query_only = ON")
                db.execute("BEGIN")
                yield db

    def _fresh(self, db: sqlite3.Connection) -> None:
        """Drops what is cached when another process has erased or rotated since."""
        epoch = db.execute(_SQL["get_meta"], ("epoch",)).fetchone()[0]
        if epoch != self._epoch:
            self._check_moved(db)
            self._epoch = epoch
            self._keys.clear()
            self.keyring.reload()
            self._tombstones = {(t, s): at for t, s, at, _ in db.execute(_SQL["tombstones"])}

    def _check_moved(self, db: sqlite3.Connection) -> None:
        if moved := db.execute(_SQL["get_meta"], ("moved",)).fetchone():
            raise StoreError(
                f"The calls in {self.path} were moved to {moved[0]}: name that store in config.toml and start again."
            )

    @contextmanager
    def handed_over(self, to: str) -> Iterator[StoredRows]:
        """See store.moving.HandsOver. Others that write wait meanwhile, and then find where the calls are."""
        with self._write(patient=True) as db:
            self._fresh(db)
            yield stored_rows(db)
            db.execute(_SQL["set_meta"], ("moved", to))
            self._next_epoch(db)

    def take_over(self, rows: StoredRows) -> int:
        """Takes all rows of another store or none; returns how many calls can be read. Raises StoreError where it is
        not empty."""
        with self._write() as db:
            self._fresh(db)
            n_calls = load_rows(db, rows)
            self._next_epoch(db)
        return n_calls

    def _next_epoch(self, db: sqlite3.Connection) -> None:
        db.execute(
            _SQL["set_meta"], ("epoch", str(int(db.execute(_SQL["get_meta"], ("epoch",)).fetchone()[0]) + 1))
        )

    def append(self, calls: Sequence[Call]) -> int:
        # encoding is done before the lock is taken: other processes wait only for encryption and the disk
        return self.append_entries([entry_of(call) for call in calls])

    def append_entries(self, entries: Sequence[Entry]) -> int:
        if not entries:
            return 0
        look = self.keyring.lookup
        ids = [look("call", entry.id) for entry in entries]
        with self._write() as db:
            self._fresh(db)
            late = late_episodes(entries, self._tombstones, self.keyring)
            rows = []
            for id, entry in zip(ids, entries, strict=True):
                if was_erased(entry, self._tombstones, self.keyring):
                    continue
                key = self._keys.obtain(db, entry.tenant, entry.origin, month_of(entry.timestamp))
                sealed = key.encrypt(CALL, id, entry.version, entry.data)
                agent = self._agents.of(entry.agent)
                episode = episode_digest(self.keyring, entry.tenant, entry.episode)
                rows.append((id, entry.timestamp or 0.0, agent, episode, key.id, entry.version, sealed))
            before = db.total_changes
            db.executemany(_SQL["add_call"], rows)
            n_new = db.total_changes - before
        return n_new - n_ended(self, entries, late)

    def calls(
        self, *, agent: str | None = None, since: float | None = None, tenant: str | None = None
    ) -> Iterator[Call]:
        with self._read() as db:
            reader = DataKeySnapshot(db, self.keyring)
            outcomes = Outcomes(one for _, one in self._feedback(db, reader))
            wanted = {
                "agent": None if agent is None else self.keyring.lookup("agent", agent),
                "since": -math.inf if since is None else since,
                "tenant": tenant,
            }
            for row in db.execute(_SQL["calls"], wanted):
                key = reader.get(row[2])
                if key is not None:
                    yield outcomes.merged(opened_call(key, row))

    def _feedback(self, db: sqlite3.Connection, reader: DataKeySnapshot) -> Iterator[tuple[int, Feedback]]:
        return self._opened_feedback(db.execute(_SQL["all_feedback"]), reader)

    def _opened_feedback(
        self, rows: Iterable[tuple[int, int, bytes]], reader: DataKeySnapshot
    ) -> Iterator[tuple[int, Feedback]]:
        for seq, key_id, payload in rows:
            key = reader.get(key_id)
            if key is not None:
                data = key.decrypt(_FEEDBACK, _row(seq), RECORD_VERSION, payload)
                yield seq, decode_record(data, Feedback)

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        # in parts, so that no snapshot keeps the pages of what is erased meanwhile
        for start in range(0, len(call_ids), _GET_AT_ONCE):
            yield from self._some(call_ids[start : start + _GET_AT_ONCE])

    def _some(self, call_ids: Sequence[str]) -> list[Call | None]:
        found: list[Call | None] = []
        with self._read() as db:
            reader = DataKeySnapshot(db, self.keyring)
            for id in call_ids:
                row = db.execute(_SQL["call"], (self.keyring.lookup("call", id),)).fetchone()
                key = reader.get(row[2]) if row is not None else None
                found.append(None if key is None else opened_call(key, row))
        return found

    def count(self) -> int:
        with self._read() as db:
            return int(db.execute(_SQL["count"]).fetchone()[0])

    def add_feedback(
        self,
        *,
        episode: str = "",
        call_id: str = "",
        metric: str,
        value: float,
        tenant: str = "",
        correction: Message | None = None,
    ) -> None:
        data = encode(checked_feedback(episode, call_id, metric, value, tenant, correction))
        with self._write() as db:
            self._fresh(db)
            key = self._keys.obtain(db, "default", "", month_of(self._clock()))
            # bound to its row, so that nobody makes one run's outcome that of another
            seq = int(db.execute(_SQL["next_feedback"]).fetchone()[0])
            db.execute(
                _SQL["add_feedback"], (seq, key.id, key.encrypt(_FEEDBACK, _row(seq), RECORD_VERSION, data))
            )

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        if not origin:
            raise BadInput("An erasure needs an origin.")
        subject = subject_of(self.keyring, tenant, origin)
        with self._write(patient=True) as db:
            self._fresh(db)
            reader = DataKeySnapshot(db, self.keyring)
            key_ids = [row[0] for row in db.execute(_SQL["keys_of_subject"], (tenant, subject))]
            call_ids, episodes = what_to_erase(db, reader, key_ids)
            erased_at = self._clock()
            call_ids |= end_episodes(db, self.keyring, tenant, episodes, erased_at)
            self._erase_feedback(db, reader, tenant, call_ids, episodes)
            db.executemany(_SQL["delete_key"], ((id,) for id in key_ids))
            db.executemany(_SQL["erase_calls"], ((id,) for id in key_ids))
            db.execute(_SQL["bury"], (tenant, subject, erased_at, len(call_ids)))
            self._next_epoch(db)
        self._keys.clear()
        self.compact()
        n, ids = len(key_ids), sorted(call_ids)
        return Erased(tenant=tenant, origin=origin, erased_at=erased_at, call_ids=ids, n_keys=n)

    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        if not call_ids and not episodes:
            return []
        done: set[str] = set()
        with self._write(patient=True) as db:
            self._fresh(db)
            reader = DataKeySnapshot(db, self.keyring)
            for call_id in call_ids:
                id = self.keyring.lookup("call", call_id)
                row = db.execute(_SQL["call"], (id,)).fetchone()
                of_key = db.execute(_SQL["get_key"], (row[2],)).fetchone() if row is not None else None
                if of_key is not None and of_key[0] == tenant:
                    db.execute(_SQL["erase_call"], (id,))
                    done.add(call_id)
            done |= end_episodes(db, self.keyring, tenant, episodes, self._clock())
            self._erase_feedback(db, reader, tenant, done, set(episodes))
            self._next_epoch(db)
        self.compact()
        return sorted(done)

    def _erase_feedback(
        self,
        db: sqlite3.Connection,
        reader: DataKeySnapshot,
        tenant: str,
        call_ids: Collection[str],
        episodes: Collection[str],
    ) -> None:
        """Deletes the feedback of a tenant, or of the owner, on calls and episodes; others use the same names."""
        spoken_of = [
            seq
            for seq, one in self._feedback(db, reader)
            if one.tenant in ("", tenant) and (one.episode in episodes or one.call_id in call_ids)
        ]
        db.executemany(_SQL["delete_feedback"], ((seq,) for seq in spoken_of))

    def compact(self) -> bool:
        # the write-ahead log keeps old pages, an erased key's too, until it is overwritten
        with self._lock, errors_in_words(self.path, self._busy_timeout_s):
            busy: int = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            _log.warning(
                "%s is being read, so what was deleted stays in its pages until the next writing moves them.",
                self.path,
            )
        return not busy

    def erased(self, call_ids: Sequence[str]) -> set[str]:
        with self._read() as db:
            look = self.keyring.lookup
            return {id for id in call_ids if db.execute(_SQL["is_erased"], (look("call", id),)).fetchone()}

    def gone(self, call_ids: Sequence[str]) -> set[str]:
        with self._read() as db:
            look = self.keyring.lookup
            return {
                id for id in call_ids if not db.execute(_SQL["is_readable"], (look("call", id),)).fetchone()
            }

    def has_episode(self, tenant: str, episode: str) -> bool:
        with self._read() as db:
            wanted = episode_digest(self.keyring, tenant, episode)
            return db.execute(_SQL["has_episode"], (wanted,)).fetchone() is not None

    def tenants(self) -> list[str]:
        """Everybody whose calls are here."""
        with self._read() as db:
            return [row[0] for row in db.execute(_SQL["tenants"])]

    def older(self, *, tenant: str, before: float) -> int:
        with self._read() as db:
            n_calls = int(db.execute(_SQL["older"], {"tenant": tenant, "before": before}).fetchone()[0])
            return n_calls + len(self._old_feedback(db, tenant, before))

    def _old_feedback(self, db: sqlite3.Connection, tenant: str, before: float) -> list[int]:
        """Numbers of a tenant's feedback from months before a time: what it speaks of is older still."""
        reader = DataKeySnapshot(db, self.keyring)
        rows = db.execute(_SQL["old_feedback"], {"month": month_of(before)}).fetchall()
        return [seq for seq, one in self._opened_feedback(rows, reader) if is_about(one, tenant)]

    def rewrap(self) -> int:
        """Wraps every data key again with the ring's active wrapping key; returns how many (see
        maintenance.rotation)."""
        n_keys = 0
        with self._write(patient=True) as db:
            active = self.keyring.wrapping_id
            for id, tenant, subject, month, wrapped_by, wrapped in db.execute(_SQL["all_keys"]).fetchall():
                if wrapped_by != active:
                    aad = key_aad(tenant, subject, month)
                    db.execute(
                        _SQL["rewrap_key"],
                        (*self.keyring.wrap(self.keyring.unwrap(wrapped_by, wrapped, aad), aad), id),
                    )
                    n_keys += 1
            self._next_epoch(db)
        self.compact()
        return n_keys

    def expire(self, *, tenant: str, before: float) -> int:
        with self._write(patient=True) as db:
            self._fresh(db)
            n_deleted = db.execute(_SQL["expire_calls"], {"tenant": tenant, "before": before}).rowcount
            spoken_of = self._old_feedback(db, tenant, before)
            db.executemany(_SQL["delete_feedback"], ((seq,) for seq in spoken_of))
            idle = db.execute(_SQL["idle_keys"], {"tenant": tenant, "month": month_of(before)}).fetchall()
            db.executemany(_SQL["delete_key"], idle)
            if idle:
                self._next_epoch(db)
        self.compact()
        return n_deleted

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._db.close()


def _row(seq: int) -> bytes:
    return str(seq).encode()
