"""The recorder: what the gateway hands its finished calls to. Nothing that it took is lost, nothing is dropped unsaid.

    gateway --record()--> journal (encrypted, this process) --writer--> store (encrypted, synced group commits)

The writer is a thread; in a worker of the gateway it has a process of its own do the work (store.recording.journal_writer).

`durability` says what is true when `record` returns:

    strict    the call is in the journal: it survives kill -9 of this process at any moment (the default)
    synced    the journal is synced as well: it survives a power cut
    relaxed   the call is in memory for at most `window_ms` and among at most `window_calls` others, then in the journal

When the store cannot take calls (locked, disk full) they wait in the journal, up to `max_backlog_bytes`. Beyond that,
or when the journal itself cannot be written, `on_full` decides: "block" makes `record` wait and at last refuse with
an error; "spill" writes to a second encrypted journal in `spill_folder` (best on another disk) before it refuses.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from deputize.core.errors import DeputizeError, StoreError, Tampered
from deputize.core.records import Call, Message
from deputize.store.base import Entry, Store
from deputize.store.codec import entry_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.recording.held_calls import KnownCalls
from deputize.store.recording.journal import ENTRIES, INTENTS, Intent, Journal, Segment, left_over, recover
from deputize.store.recording.journal_writer import JournalWriter, move

_log = logging.getLogger("deputize.store")

Durability = Literal["strict", "synced", "relaxed"]
OnFull = Literal["block", "spill"]

_BATCH_BYTES = 1 << 19
_LINGER_S = 0.05
_IDLE_S, _TIDY_BYTES = 1.0, 1 << 20  # while calls come in, a new segment for each would cost too much
_RETRY_S = (0.05, 2.0)
_RECOVER_S = 60.0
_PACK = msgspec.msgpack.Encoder()


class RecorderStats(msgspec.Struct, frozen=True):
    """Counters since the start, and how things stand now."""

    queued: int = 0
    """Calls taken."""
    written: int = 0
    """Calls that are in the store (those that were there already included)."""
    spilled: int = 0
    """Calls that went to the spill journal, or waited in the journal while the store could not take them."""
    refused: int = 0
    """Calls that were not taken; each caller got an error."""
    damaged: int = 0
    """Journal files set aside because they were changed on the disk."""
    backlog_calls: int = 0
    backlog_bytes: int = 0
    under_way: int = 0
    """Calls that have begun and not ended."""
    failing: str = ""
    """Why the store or the journal cannot take calls now; "" while they can."""


class Recorder:
    """One per process. `begin`, `record` and `record_now` belong to one thread (the event loop's)."""

    def __init__(
        self,
        store: Store,
        keyring: KeyRing,
        home: Path,
        *,
        durability: Durability = "strict",
        on_full: OnFull = "block",
        window_ms: float = 20.0,
        window_calls: int = 256,
        max_backlog_bytes: int = 256 << 20,
        max_spill_bytes: int = 1 << 30,
        spill_folder: Path | None = None,
        block_timeout_s: float = 10.0,
        segment_bytes: int = 16 << 20,
        clock: Callable[[], float] = time.monotonic,
        journal_writer: JournalWriter | None = None,
    ) -> None:
        """
        Args:
            store: where calls end up; used from the writer thread only (not for calls while `journal_writer` lives).
            keyring: encrypts the journal.
            home: its `journal` folder is used, and `spill` unless `spill_folder` is given.
            durability: see the module.
            on_full: see the module.
            window_ms: relaxed: the longest a call stays in memory only.
            window_calls: relaxed: the most calls that stay in memory only.
            max_backlog_bytes: the most that may wait in the journal.
            max_spill_bytes: the most that may wait in the spill journal.
            spill_folder: where to spill; default HOME/spill.
            block_timeout_s: how long `record` waits for room before it refuses.
            segment_bytes: size of one journal file.
            clock: monotonic seconds.
            journal_writer: a process that writes to the store in the writer thread's stead; None: the thread does it itself.
        """
        self._journal_writer = journal_writer
        self._store, self._keyring, self._clock = store, keyring, clock
        self._durability, self._on_full = durability, on_full
        self._window_s, self._window_calls = window_ms / 1000, window_calls
        self._max_backlog, self._max_spill = max_backlog_bytes, max_spill_bytes
        self._block_timeout_s = block_timeout_s
        self._journal = Journal(home / "journal", keyring, segment_bytes=segment_bytes)
        self._spill = Journal(spill_folder or home / "spill", keyring, segment_bytes=segment_bytes)
        self._buffer: list[Entry] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._under_way: dict[str, Intent] = {}
        folders = [self._journal.folder, self._spill.folder]
        self._known = KnownCalls(store, keyring, folders, self._held)
        self._queued = self._written = self._spilled = self._refused = self._damaged = 0
        self._failing, self._recover_at = "", clock()
        self._work = threading.Event()
        self._moved = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._sync_pool: ThreadPoolExecutor | None = None
        self._sync_waiters: list[asyncio.Future[None]] = []
        self._sync_task: asyncio.Task[None] | None = None

    def start(self) -> Recorder:
        """Starts the writer thread; call it in the process that records (after any fork)."""
        if self._thread is None:
            # HOME/spill is read by open_store; another folder only we know
            self._recover([self._spill.folder])
            self._thread = threading.Thread(target=self._write_forever, name="deputize-recorder", daemon=True)
            self._thread.start()
        return self

    def _recover(self, folders: Sequence[Path]) -> None:
        """Takes in what ended processes have left: the store may have been away when this one started."""
        self._recover_at = self._clock() + _RECOVER_S
        if left_over(folders):
            try:
                recover(folders, self._keyring, self._store)
            except StoreError as error:
                _log.error("Calls of an earlier process wait in its journal: %s", error)

    # --- taking calls, on the event loop ---

    def admit(self) -> None:
        """To be asked before work is spent on a request whose record could not be kept.

        Raises:
            StoreError: there is no room now; the answer to the client should be 503.
        """
        if not self._has_room():
            why = self.stats().failing or "the journal is full"
            raise StoreError(f"Calls cannot be recorded now ({why}), so none are taken.")

    def begin(self, *intents: Intent) -> None:
        """Calls begin: if this process dies before they end, their records say so. Costs no wait; best effort."""
        for intent in intents:
            self._under_way[intent.id] = intent
        try:
            self._journal.append(INTENTS, _PACK.encode(intents), self._carried)
        except StoreError as error:
            _log.debug("An intent was not written: %s", error)

    def abandon(self, call_id: str) -> None:
        """A call that had begun leaves no record after all (it never reached a model)."""
        self._under_way.pop(call_id, None)

    async def record(self, call: Call) -> None:
        """Takes a finished or aborted call; see the module for what is true on return.

        Raises:
            StoreError: there was no room for `block_timeout_s`; the call was not taken and counts as refused. The
                answer must not be completed as if it had been.
            BadInput: the call cannot be encoded; it counts as refused.
        """
        entry = self._encoded(call)
        deadline: float | None = None
        while True:
            try:
                self._take(entry)
                break
            except StoreError:
                now = self._clock()
                deadline = now + self._block_timeout_s if deadline is None else deadline
                if now >= deadline or self._closing:
                    self._refused += 1
                    raise
                await asyncio.sleep(min(0.02, deadline - now))
        if self._durability == "synced":
            await self._synced()

    def record_now(self, call: Call) -> None:
        """As `record` without waiting for room or a sync; for places that cannot await, such as a cancellation.

        Raises:
            StoreError: there is no room; the call was not taken and counts as refused.
            BadInput: the call cannot be encoded; it counts as refused.
        """
        entry = self._encoded(call)
        try:
            self._take(entry)
        except StoreError:
            self._refused += 1
            raise

    def _encoded(self, call: Call) -> Entry:
        try:
            return entry_of(call)
        except DeputizeError:
            self._refused += 1
            raise

    def _take(self, entry: Entry) -> None:
        """Into the journal, or into the window of memory. Raises StoreError when there is no room."""
        if self._durability == "relaxed":
            if len(self._buffer) >= self._window_calls:
                self._flush()
            self._buffer.append(entry)
            self._arm()
        else:
            self._append([entry])
        self._queued += 1
        self._under_way.pop(entry.id, None)

    def _arm(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(self._window_s, self._flush_due)

    def _flush_due(self) -> None:
        self._flush_timer = None
        try:
            self._flush()
        except StoreError as error:
            _log.error("Calls stay in memory, beyond the window: %s", error)
            self._arm()

    def _flush(self) -> None:
        if self._buffer:
            self._append(self._buffer)
            self._buffer = []

    def _append(self, entries: list[Entry]) -> None:
        data = _PACK.encode(entries)
        try:
            if self._journal.backlog_bytes > self._max_backlog:
                raise StoreError(
                    f"{self._max_backlog} bytes of calls wait in the journal. {self._failing}".strip()
                )
            self._journal.append(ENTRIES, data, self._carried)
            self._spilled += len(entries) if self._failing else 0
        except StoreError:
            if self._on_full != "spill" or self._spill.backlog_bytes > self._max_spill:
                raise
            self._spill.append(ENTRIES, data)
            self._spilled += len(entries)
        if not self._work.is_set():
            self._work.set()

    def _carried(self) -> Sequence[Intent]:
        return list(self._under_way.values())

    def _held(self) -> list[Entry | Intent]:
        return [*self._buffer, *self._under_way.values()]

    def _has_room(self) -> bool:
        if self._journal.backlog_bytes <= self._max_backlog and self._journal.has_room():
            return True
        spills = self._on_full == "spill" and self._spill.backlog_bytes <= self._max_spill
        return spills and self._spill.has_room()

    async def _synced(self) -> None:
        """Waits for a sync that began after now; all who wait share it."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._sync_waiters.append(waiter)
        if self._sync_task is None:
            self._sync_task = loop.create_task(self._sync_rounds())
        await waiter

    async def _sync_rounds(self) -> None:
        loop = asyncio.get_running_loop()
        if self._sync_pool is None:
            self._sync_pool = ThreadPoolExecutor(1, "deputize-sync")
        while self._sync_waiters:
            waiters, self._sync_waiters = self._sync_waiters, []
            error: StoreError | None = None
            try:
                await loop.run_in_executor(self._sync_pool, self._sync_both)
            except StoreError as caught:
                error = caught
            for waiter in waiters:
                if waiter.done():
                    continue
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)
        self._sync_task = None

    def _sync_both(self) -> None:
        self._journal.sync()
        self._spill.sync()

    # --- writing, on a thread of its own ---

    def _write_forever(self) -> None:
        retry_s = _RETRY_S[0]
        while True:
            idle = not self._closing and not self._work.wait(_IDLE_S)
            self._work.clear()
            try:
                moved_on = self._write_some()
                self._failing, retry_s = "", _RETRY_S[0]
                if self._clock() >= self._recover_at:
                    self._recover([self._journal.folder, self._spill.folder])
            except StoreError as error:
                self._say(error)
                if self._closing:
                    return
                time.sleep(retry_s)
                retry_s = min(2 * retry_s, _RETRY_S[1])
                self._work.set()
                continue
            if moved_on:
                self._work.set()  # there may be more
                if not self._closing and self._journal.backlog_bytes < _BATCH_BYTES:
                    time.sleep(_LINGER_S)  # lets a group form, so that one sync serves many
            else:
                least = 0 if idle else _TIDY_BYTES
                self._journal.tidy(busy=bool(self._under_way), min_bytes=least)
                self._spill.tidy(min_bytes=least)
                if self._closing:
                    return

    def _write_some(self) -> bool:
        """One batch of each journal into the store; False when there was nothing left to do."""
        moved_on = False
        for journal in (self._journal, self._spill):
            try:
                n_entries = journal.hand_over(self._move, _BATCH_BYTES)
            except Tampered as error:
                self._damaged += 1
                _log.error(
                    "Part of the journal was changed; it is kept as %s: %s", journal.set_aside(), error
                )
                moved_on = True
                continue
            if n_entries:
                journal.taken()
                moved_on = True
                with self._moved:
                    self._written += n_entries
                    self._moved.notify_all()
        return moved_on

    def _move(self, segment: Segment, offset: int, limit: int) -> tuple[int, int]:
        """Into the store, by the writer process where there is one, else here."""
        if self._journal_writer is not None:
            moved = self._journal_writer.move(segment, offset, limit)
            if moved is not None:
                return moved
            _log.error("The writer process has ended; this process writes to the store itself from now on.")
            self._journal_writer.close()
            self._journal_writer = None
        return move(self._store, segment, offset, limit)

    def _say(self, error: StoreError) -> None:
        if not self._failing:
            _log.error("Calls wait in the journal: %s", error)
        self._failing = str(error)

    # --- looking and ending ---

    def stats(self) -> RecorderStats:
        """How things stand."""
        written, queued = self._written, self._queued
        return RecorderStats(
            queued=queued,
            written=written,
            spilled=self._spilled,
            refused=self._refused,
            damaged=self._damaged,
            backlog_calls=max(0, queued - written),
            failing=self._failing or self._journal.trouble,
            under_way=len(self._under_way),
            backlog_bytes=self._journal.backlog_bytes + self._spill.backlog_bytes,
        )

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits, off the event loop, until every call taken so far is in the store; False when time ran out."""
        target, deadline = self._queued, time.monotonic() + timeout_s
        self._work.set()
        with self._moved:
            return self._moved.wait_for(
                lambda: self._written >= target, max(0.0, deadline - time.monotonic())
            )

    async def drain(self, timeout_s: float = 10.0) -> bool:
        """`flush` for the event loop; the memory window of "relaxed" is emptied first."""
        if self._buffer:
            try:
                self._flush()
            except StoreError:
                return False
        return await asyncio.get_running_loop().run_in_executor(None, self.flush, timeout_s)

    def counts(self) -> dict[str, float]:
        """The counters by name, for metrics; `pending` are calls taken that are not in the store yet."""
        now = self.stats()
        return {
            "queued": now.queued,
            "written": now.written,
            "spilled": now.spilled,
            "refused": now.refused,
            "pending": now.backlog_calls,
            "damaged": now.damaged,
            "under_way": now.under_way,
        }

    async def add_feedback(
        self,
        *,
        episode: str = "",
        call_id: str = "",
        metric: str,
        value: float,
        tenant: str = "",
        correction: Message | None = None,
    ) -> None:
        """`Store.add_feedback` off the event loop."""
        add = functools.partial(
            self._store.add_feedback,
            episode=episode,
            call_id=call_id,
            metric=metric,
            value=value,
            tenant=tenant,
            correction=correction,
        )
        await asyncio.get_running_loop().run_in_executor(None, add)

    async def knows_call(self, call_id: str, wait_s: float = 2.0) -> bool:
        """See held_calls.KnownCalls.call."""
        return await self._known.call(call_id, wait_s)

    async def knows_episode(self, tenant: str, episode: str, wait_s: float = 2.0) -> bool:
        """See held_calls.KnownCalls.episode."""
        return await self._known.episode(tenant, episode, wait_s)

    async def close(self, timeout_s: float = 10.0) -> RecorderStats:
        """Writes what waits into the store and ends. What the store cannot take stays in the journal for the next start.

        Returns:
            The last counters; backlog_calls of them are in the journal.
        """
        self._empty_window()
        return await asyncio.get_running_loop().run_in_executor(None, self._end, timeout_s)

    def close_now(self, timeout_s: float = 10.0) -> RecorderStats:
        """`close` for places without an event loop."""
        self._empty_window()
        return self._end(timeout_s)

    def _empty_window(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        try:
            self._flush()
        except StoreError as error:
            self._queued -= len(self._buffer)
            self._refused += len(self._buffer)
            _log.error("%d calls of the memory window are lost: %s", len(self._buffer), error)
            self._buffer = []

    def _end(self, timeout_s: float) -> RecorderStats:
        self._closing = True
        self._work.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._sync_pool is not None:
            self._sync_pool.shutdown()
        if self._thread is None or not self._thread.is_alive():
            self._journal.close()
            self._spill.close()
            if self._journal_writer is not None:
                self._journal_writer.close()
                self._journal_writer = None
        return self.stats()
