"""The store in PostgreSQL, for several gateways on several machines: payloads encrypted before they reach it.

Writers hold the store together, what erases, expires or wraps again holds it alone. A partition for each tenant and
month; row-level security by tenant beneath every reading. Every commit is on the server's disk before `append` returns.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import RECORD_VERSION, Call, Message, encode
from deputize.files import make_file, make_folder
from deputize.store.base import Entry, Erased
from deputize.store.codec import Outcomes, checked_feedback, entry_of
from deputize.store.filing import AgentDigests, episode_digest, late_episodes, n_ended, was_erased
from deputize.store.keys.data_keys import DataKey, key_aad, month_of, subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.moving import StoredRows
from deputize.store.postgres_connection import (
    PostgresServer,
    ServerAway,
    connect,
    make_pool,
    psycopg_or_error,
    server_errors_in_words,
    server_of,
)
from deputize.store.postgres_keys import (
    Epoch,
    KeyName,
    RowKeys,
    check_wrapping,
    obtain_keys,
    read_back,
    written,
)
from deputize.store.postgres_rows import (
    CALL,
    FEEDBACK,
    end_episodes,
    erase_feedback,
    feedback_row,
    old_feedback,
    opened_call,
    read_feedback,
    stage,
    what_to_erase,
)
from deputize.store.postgres_schema import (
    add_partitions,
    check_arrived,
    check_here,
    drop_empty_partitions,
    hold,
    prepare_tables,
)
from deputize.store.postgres_takeover import load_rows, stored_rows
from deputize.store.registry import StoreContext
from deputize.store.sql import load_queries

if TYPE_CHECKING:
    from deputize.store.postgres_connection import Connection, Pool

_log = logging.getLogger("deputize.store")
_SQL = load_queries("postgres")
_ALL = "*"
_PATIENCE, _LOCK_TO_REWRITE_MS, _ASK_AGAIN_S = 6.0, 1000, 1.0
_ATTEMPTS = 5
"""Times that a transaction is tried which PostgreSQL gave up in favour of another one."""
_READ_AT_ONCE, _GET_AT_ONCE = 500, 64

MARKER = "store.server"
"""An empty file in a home whose store is elsewhere: the audit log knows by it that there is one (store.registry)."""

T = TypeVar("T")


def build(place: StoreContext) -> PostgresStore:
    """The store that `[store.options]` names, as store.registry asks for it.

    Raises:
        BadInput, MissingExtra: as postgres_connection.server_of.
        StoreError: the server is there, and the tables are not of this version or of other keys.
    """
    server = server_of(place.options)
    store = PostgresStore(server, place.keyring, busy_timeout_s=place.busy_timeout_s, clock=place.clock)
    try:
        make_folder(place.folder)
        make_file(place.folder / MARKER)
    except OSError as error:
        store.close()
        raise StoreError(f"{place.folder} cannot be written: {error.strerror or error}.") from error
    return store


class PostgresStore:
    """See store.base.Store for the contract. A server that cannot be reached now does not stand in the way of opening
    the store: a gateway starts, and its calls wait in its journal. Whatever needs it raises StoreError until it is there.
    """

    def __init__(
        self,
        server: PostgresServer,
        keyring: KeyRing,
        *,
        busy_timeout_s: float = 10.0,
        key_cache: int = 8192,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            server: where the tables are.
            keyring: the keys of the home; every home that shares the store has the same.
            busy_timeout_s: how long to wait for the server, a connection or another writer before StoreError.
            key_cache: data keys kept open in memory.
            clock: Unix seconds.
        """
        self.server, self.keyring = server, keyring
        self._busy_timeout_s, self._clock, self._key_cache = busy_timeout_s, clock, key_cache
        self._lock = threading.Lock()
        self._epoch = Epoch("", {}, key_cache)
        self._agents = AgentDigests(self.keyring)
        self._errors = psycopg_or_error().errors
        self._is_prepared = self._closed = False
        self._away, self._ask_again_at = "", -math.inf
        self._pool: Pool = make_pool(server, busy_timeout_s)
        try:
            self._prepare()
        except ServerAway as error:
            _log.warning("%s It is asked again when it is needed.", error)
            self._away, self._ask_again_at = str(error), time.monotonic() + _ASK_AGAIN_S
        except BaseException:
            self._pool.close()
            raise

    def _prepare(self) -> None:
        """Makes the tables, or checks that they are ours."""
        with (
            server_errors_in_words(self.server, self._busy_timeout_s),
            closing(connect(self.server, self._busy_timeout_s)) as db,
            db.transaction(),
        ):
            self._hold(db, alone=True)
            prepare_tables(db, self.server.schema, self.keyring, self.server.name)
        self._is_prepared = True

    # --- transactions ---

    def _hold(self, db: Connection, *, alone: bool) -> None:
        wait_s = self._busy_timeout_s * (_PATIENCE if alone else 1.0)
        hold(db, self.server.schema, wait_s, alone=alone)

    def _change(self, work: Callable[[Connection, Epoch], T], *, alone: bool = False) -> T:
        """Does `work` in a write transaction: all of it is on the disk afterwards, or none of it."""
        self._check_open()
        with server_errors_in_words(self.server, self._busy_timeout_s):
            for attempt in range(_ATTEMPTS):
                try:
                    with self._pool.connection() as db, db.transaction():
                        self._hold(db, alone=alone)
                        return work(db, self._current(db))
                except (self._errors.DeadlockDetected, self._errors.SerializationFailure):
                    if attempt == _ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.server.name} is closed.")
        if not self._is_prepared:
            if time.monotonic() < self._ask_again_at:  # whoever opens and asks at once waits once
                raise ServerAway(self._away)
            self._prepare()

    @contextmanager
    def _reading(self, tenant: str | None = None) -> Iterator[Connection]:
        """One snapshot of the rows of a tenant, None: of all; nothing can be written."""
        self._check_open()
        with (
            server_errors_in_words(self.server, self._busy_timeout_s),
            self._pool.connection() as db,
            self._snapshot(db, tenant),
        ):
            yield db

    @contextmanager
    def _snapshot(self, db: Connection, tenant: str | None) -> Iterator[None]:
        with db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            _see(db, tenant)
            yield

    def _current(self, db: Connection) -> Epoch:
        """The present epoch, a new one where another process has erased or rotated since; inside a transaction that holds the store."""
        standing: dict[str, str] = dict(db.execute(_SQL["standing"]).fetchall())
        check_here(standing.get("moved", ""), self.server.name)
        check_arrived(standing.get("arriving", ""), self.server.name)
        check_wrapping(self.keyring, standing["wrapping"], self.server.name)
        with self._lock:
            if standing["epoch"] != self._epoch.number:
                self.keyring.reload()
                tombstones = {
                    (read_back(t), bytes(s)): at for t, s, at in db.execute(_SQL["tombstones"]).fetchall()
                }
                self._epoch = Epoch(standing["epoch"], tombstones, self._key_cache)
            return self._epoch

    # --- writing ---

    def append(self, calls: Sequence[Call]) -> int:
        return self.append_entries([entry_of(call) for call in calls])

    def append_entries(self, entries: Sequence[Entry]) -> int:
        if not entries:
            return 0
        by_id: dict[bytes, Entry] = {}
        for entry in entries:
            by_id.setdefault(self.keyring.lookup("call", entry.id), entry)
        late: dict[str, set[str]] = {}

        def add(db: Connection, epoch: Epoch) -> tuple[int, Epoch, dict[KeyName, DataKey]]:
            taken = [(id, e) for id, e in by_id.items() if not was_erased(e, epoch.tombstones, self.keyring)]
            late.update(late_episodes(entries, epoch.tombstones, self.keyring))
            if not taken:
                return 0, epoch, {}
            names = {_key_name(e) for _, e in taken}
            add_partitions(db, self.server.schema, {(t, m) for t, _, m in names} - epoch.partitions)
            keys = obtain_keys(db, self.keyring, epoch, names)
            stage(
                db,
                (
                    (
                        n,
                        id,
                        written(e.tenant),
                        month_of(e.timestamp),
                        float(e.timestamp or 0.0),
                        self._agents.of(e.agent),
                        episode_digest(self.keyring, e.tenant, e.episode),
                        keys[_key_name(e)].id,
                        e.version,
                        keys[_key_name(e)].encrypt(CALL, id, e.version, e.data),
                    )
                    for n, (id, e) in enumerate(taken)
                ),
            )
            return db.execute(_SQL["add_calls"]).rowcount, epoch, keys

        n_new, epoch, keys = self._change(add)
        epoch.keep(keys)
        epoch.partitions.update((tenant, month) for tenant, _, month in keys)
        return n_new - n_ended(self, entries, late)

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
        name = ("default", "", month_of(self._clock()))

        def add(db: Connection, epoch: Epoch) -> None:
            key = obtain_keys(db, self.keyring, epoch, {name})[name]
            # bound to its row, so that nobody makes one run's outcome that of another
            seq = _one(db.execute(_SQL["next_feedback"]))
            sealed = key.encrypt(FEEDBACK, feedback_row(seq), RECORD_VERSION, data)
            db.execute(_SQL["add_feedback"], {"seq": seq, "key": key.id, "payload": sealed})

        self._change(add)

    # --- reading ---

    def calls(
        self, *, agent: str | None = None, since: float | None = None, tenant: str | None = None
    ) -> Iterator[Call]:
        self._check_open()
        # a connection of its own: whoever reads slowly takes none from the others
        with (
            server_errors_in_words(self.server, self._busy_timeout_s),
            closing(connect(self.server, self._busy_timeout_s)) as db,
            self._snapshot(db, None),
        ):
            keys = RowKeys(self.keyring)
            told = (one for _, one in read_feedback(db, keys))
            outcomes = Outcomes(one for one in told if tenant is None or one.tenant in ("", tenant))
            _see(db, tenant)
            wanted = {
                "agent": None if agent is None else self.keyring.lookup("agent", agent),
                "since": -math.inf if since is None else since,
                "tenant": None if tenant is None else written(tenant),
            }
            with db.cursor(name="calls", binary=True) as rows:
                rows.itersize = _READ_AT_ONCE
                for row in rows.execute(_SQL["calls"], wanted):
                    yield outcomes.merged(opened_call(keys, row))

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        # in parts, so that what is erased meanwhile is not there
        for start in range(0, len(call_ids), _GET_AT_ONCE):
            ids = [self.keyring.lookup("call", id) for id in call_ids[start : start + _GET_AT_ONCE]]
            with self._reading() as db:
                rows = db.execute(_SQL["some_calls"], {"ids": ids}).fetchall()
            keys = RowKeys(self.keyring)
            found = {bytes(row[0]): opened_call(keys, row) for row in rows}
            yield from (found.get(id) for id in ids)

    def count(self) -> int:
        with self._reading() as db:
            return _one(db.execute(_SQL["count"]))

    def erased(self, call_ids: Sequence[str]) -> set[str]:
        return self._among("are_erased", call_ids)

    def gone(self, call_ids: Sequence[str]) -> set[str]:
        return set(call_ids) - self._among("are_readable", call_ids)

    def _among(self, query: str, call_ids: Sequence[str]) -> set[str]:
        ids = {self.keyring.lookup("call", id): id for id in call_ids}
        with self._reading() as db:
            return {ids[bytes(row[0])] for row in db.execute(_SQL[query], {"ids": list(ids)}).fetchall()}

    def has_episode(self, tenant: str, episode: str) -> bool:
        if not episode:
            return False
        wanted = {"tenant": written(tenant), "episode": episode_digest(self.keyring, tenant, episode)}
        with self._reading(tenant) as db:
            return bool(_one(db.execute(_SQL["has_episode"], wanted)))

    def tenants(self) -> list[str]:
        with self._reading() as db:
            return sorted(read_back(row[0]) for row in db.execute(_SQL["tenants"]).fetchall())

    def older(self, *, tenant: str, before: float) -> int:
        with self._reading() as db:
            n_feedback = len(old_feedback(db, self.keyring, tenant, before))
            _see(db, tenant)
            return n_feedback + _one(db.execute(_SQL["older"], {"tenant": written(tenant), "before": before}))

    # --- erasing ---

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        if not origin:
            raise BadInput("An erasure needs an origin.")
        subject = {"tenant": written(tenant), "subject": subject_of(self.keyring, tenant, origin)}

        def erase(db: Connection, epoch: Epoch) -> tuple[set[str], float, int]:
            key_ids = [row[0] for row in db.execute(_SQL["keys_of_subject"], subject).fetchall()]
            ids, episodes = what_to_erase(db, self.keyring, tenant, key_ids)
            erased_at = self._clock()
            ids |= end_episodes(db, self.keyring, tenant, episodes, erased_at)
            erase_feedback(db, self.keyring, tenant, ids, episodes)
            db.execute(_SQL["erase_by_key"], {"tenant": written(tenant), "keys": key_ids})
            db.execute(_SQL["delete_keys"], {"ids": key_ids})
            db.execute(_SQL["bury"], {**subject, "erased_at": erased_at, "n_calls": len(ids)})
            db.execute(_SQL["next_epoch"])
            return ids, erased_at, len(key_ids)

        ids, erased_at, n = self._change(erase, alone=True)
        self.compact()
        return Erased(tenant=tenant, origin=origin, erased_at=erased_at, call_ids=sorted(ids), n_keys=n)

    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        if not call_ids and not episodes:
            return []
        ids = {self.keyring.lookup("call", id): id for id in call_ids}

        def erase(db: Connection, epoch: Epoch) -> set[str]:
            wanted = {"tenant": written(tenant), "ids": list(ids)}
            done = {ids[bytes(row[0])] for row in db.execute(_SQL["erase_by_id"], wanted).fetchall()}
            done |= end_episodes(db, self.keyring, tenant, episodes, self._clock())
            erase_feedback(db, self.keyring, tenant, done, episodes)
            db.execute(_SQL["next_epoch"])
            return done

        done = self._change(erase, alone=True)
        self.compact()
        return sorted(done)

    def expire(self, *, tenant: str, before: float) -> int:
        whose = {"tenant": written(tenant), "before": before, "month": month_of(before)}

        def expire(db: Connection, epoch: Epoch) -> int:
            n_deleted = _one(db.execute(_SQL["expire_calls"], whose))
            db.execute(_SQL["delete_feedback"], {"seqs": old_feedback(db, self.keyring, tenant, before)})
            idle = [row[0] for row in db.execute(_SQL["idle_keys"], whose).fetchall()]
            db.execute(_SQL["delete_keys"], {"ids": idle})
            drop_empty_partitions(db, whose)
            db.execute(_SQL["next_epoch"])
            return n_deleted

        n_deleted = self._change(expire, alone=True)
        self.compact()
        return n_deleted

    # --- maintenance ---

    def rewrap(self) -> int:
        def rewrap(db: Connection, epoch: Epoch) -> int:
            active, again = self.keyring.wrapping_id, []
            rows = db.execute(_SQL["all_keys"], {"active": active}).fetchall()
            for id, tenant, subject, month, by, wrapped in rows:
                aad = key_aad(read_back(tenant), bytes(subject), month)
                wrapped_by, blob = self.keyring.wrap(self.keyring.unwrap(by, bytes(wrapped), aad), aad)
                again.append({"id": id, "wrapped_by": wrapped_by, "wrapped": blob})
            with db.cursor() as cursor:
                cursor.executemany(_SQL["rewrap_key"], again)
            db.execute(_SQL["set_meta"], {"name": "wrapping", "value": active})
            db.execute(_SQL["next_epoch"])
            return len(rows)

        n_keys = self._change(rewrap, alone=True)
        self.compact()
        return n_keys

    def compact(self) -> bool:
        # a deleted row stays in its page until the table is written again; the one with the keys is small
        self._check_open()
        with (
            server_errors_in_words(self.server, self._busy_timeout_s),
            closing(connect(self.server, self._busy_timeout_s)) as db,
        ):
            db.execute(f"SET lock_timeout = {_LOCK_TO_REWRITE_MS}")
            began = db.execute(_SQL["clock"]).fetchone()
            try:
                db.execute("VACUUM FULL data_keys")
                db.execute("VACUUM calls, feedback")
            except self._errors.LockNotAvailable:
                is_done = False
            else:
                is_done = not _one(db.execute(_SQL["older_sessions"], {"since": began[0] if began else 0}))
        if not is_done:
            _log.warning(
                "%s is being read, so what was deleted stays in its pages until it is compacted again.",
                self.server.name,
            )
        return is_done

    def take_over(self, rows: StoredRows, *, unfinished: str = "") -> int:
        """Takes all rows of another store or none; returns how many calls can be read. Raises StoreError where it is not empty.

        Args:
            rows: of the other store.
            unfinished: its name. Then the tables take and give nothing until `end_unfinished_move`.
        """

        def load(db: Connection, epoch: Epoch) -> int:
            n_calls = load_rows(db, self.server.schema, rows)
            if unfinished:
                db.execute(_SQL["set_meta"], {"name": "arriving", "value": unfinished})
            return n_calls

        return self._change(load, alone=True)

    @contextmanager
    def handed_over(self, to: str) -> Iterator[StoredRows]:
        """See store.moving.HandsOver. Others that write wait meanwhile, and then find where the calls are."""
        self._check_open()
        with (
            server_errors_in_words(self.server, self._busy_timeout_s),
            closing(connect(self.server, self._busy_timeout_s)) as db,
            db.transaction(),
        ):
            self._hold(db, alone=True)
            self._current(db)
            yield stored_rows(db, self.keyring)
            db.execute(_SQL["set_meta"], {"name": "moved", "value": to})
            db.execute(_SQL["next_epoch"])

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._pool.close()


def _see(db: Connection, tenant: str | None) -> None:
    """Names the tenant whose rows the rest of a transaction sees; None: those of all."""
    db.execute(_SQL["scope"], {"scope": _ALL if tenant is None else "=" + written(tenant)})


def _one(cursor: Any) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row is not None else 0


def _key_name(entry: Entry) -> KeyName:
    return entry.tenant, entry.origin, month_of(entry.timestamp)
