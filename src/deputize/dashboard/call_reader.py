"""Reads the stored calls into the index in a thread of its own: all of them once, then those that come.

The interpreter runs one thread at a time, so the reading stands still while a page is made (`standing_still`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial

from deputize.core.certificate_age import DAY_S
from deputize.core.config import Convert
from deputize.core.errors import DeputizeError
from deputize.core.records import Call
from deputize.dashboard.call_index import CallIndex
from deputize.gateway.gateway_log import log_bug
from deputize.home import Home
from deputize.library import run_settings
from deputize.pipeline.readiness import CallCounter, CallCounts, CallSpend, call_spend
from deputize.scoring.costs import Prices, load_prices
from deputize.store.base import Store

LATE_S = 120.0
"""A call is filed under the time at which it began: one that takes longer than this is counted at the next whole
reading."""
PAUSE_S = 2.0
CHECK_S = 60.0
"""How often it is looked whether calls were erased, so that all are read again."""
WHOLE_S = 900.0
"""How often all calls are read again, for what they are enough for."""
_BUSY_SHARE = 20
"""Reading takes at most one part in so many of the time, but for the first one."""


class CallReader:
    """Keeps an index of a home's calls up to date. `start` and `stop`; everything else may be asked at any time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stopped = threading.Event()
        self._may_read = threading.Event()
        self._may_read.set()
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self.index = CallIndex(_no_spend)
        """Replaced as a whole when all calls are read again."""
        self.is_ready = False
        """True once every stored call is in the index."""
        self.counts: CallCounts | None = None
        """Sites and readiness by the last count; None until there was one. It comes after the first reading, and takes
        longer."""
        self.n_read = 0
        """Calls of the reading that is going on, or of the last one."""
        self.as_of_s = 0.0
        """Unix seconds at which new calls were looked for last."""
        self.error = ""
        """Why calls cannot be read now; "" where they can."""

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing is read while the block runs, but for the call that is being read. For one thread at a time."""
        self._may_read.clear()
        try:
            yield
        finally:
            self._may_read.set()

    def stop(self) -> None:
        """Ends the reading; returns when it has ended."""
        self._stopped.set()
        self._may_read.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def read_once(self) -> None:
        """Reads all calls in the caller's thread, in place of `start`.

        Raises:
            StoreError, Tampered, BadInput: they cannot be read.
        """
        self._home.require_keys()
        with closing(self._opened()) as store:
            self._read_all(store, self._prices())

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._home.require_keys()
                with closing(self._opened()) as store:
                    self.error = ""
                    self._keep_up(store)
            except DeputizeError as error:
                self.error = str(error)
            except Exception as error:  # noqa: BLE001 - the edge of the thread: the page says that it stands still
                log_bug(error)
                self.error = (
                    "The calls cannot be read because of an error in deputize; its log has the details."
                )
            self._stopped.wait(5 * PAUSE_S)

    def _opened(self) -> Store:
        store = self._home.open_store(audited=False)
        # one entry for the whole look, not one for each second of it
        self._home.audit.append("read.raw", tenant="*", detail={"command": "dashboard"})
        return store

    def _prices(self) -> Prices:
        return load_prices(self._home.path, self._home.own_prices())

    def _keep_up(self, store: Store) -> None:
        prices = self._prices()
        whole_s = self._timed(partial(self._read_all, store, prices))
        read_at = checked_at = time.monotonic()
        n_before = len(self.index)
        while not self._stopped.wait(PAUSE_S):
            took_s = self._timed(partial(self._read_new, store))
            now = time.monotonic()
            if now - checked_at >= CHECK_S:
                checked_at = now
                n_stored, n_known = store.count(), len(self.index)
                is_due = now - read_at >= max(WHOLE_S, _BUSY_SHARE * whole_s)
                if n_stored < n_known or (is_due and not n_before == n_known == n_stored):
                    whole_s = self._timed(partial(self._read_all, store, prices))
                    read_at, n_before = time.monotonic(), len(self.index)
            self._stopped.wait(max(0.0, _BUSY_SHARE * took_s - PAUSE_S))

    def _timed(self, work: partial[None]) -> float:
        began = time.monotonic()
        work()
        return time.monotonic() - began

    def _read_all(self, store: Store, prices: Prices) -> None:
        n_cores, began_s = os.cpu_count() or 1, self._home.now()
        index = CallIndex(lambda call: call_spend(call, prices, n_cores))
        if not self.is_ready:
            self.index = index  # the page shows how far it is
        self.n_read = 0
        for tenant in store.tenants():
            for call in self._gently(store.calls(tenant=tenant), store):
                index.add(call)
                self.n_read += 1
        if self._stopped.is_set():
            return
        self.index, self.as_of_s, self.is_ready = index, began_s, True
        counter = CallCounter(self._settings(), prices, n_cores, began_s // DAY_S * DAY_S)
        for tenant in store.tenants():
            counter.add(self._gently(store.calls(tenant=tenant), store), tenant)
        if not self._stopped.is_set():
            self.counts = counter.counts()

    def _settings(self) -> Convert:
        try:
            return run_settings(self._home)
        except DeputizeError:
            # a model that is not here, or a wrong setting, is for `convert` to report: calls are counted all the same
            return Convert()

    def _gently(self, calls: Iterable[Call], store: Store) -> Iterator[Call]:
        """The calls, until the reader is stopped; where the page shows all that were, it gets those that come meanwhile
        too."""
        looked_at = time.monotonic()
        for call in calls:
            self._may_read.wait()
            if self._stopped.is_set():
                return
            yield call
            if self.is_ready and time.monotonic() - looked_at >= PAUSE_S:
                self._read_new(store)
                looked_at = time.monotonic()

    def _read_new(self, store: Store) -> None:
        now_s = self._home.now()
        for call in store.calls(since=min(now_s, self.as_of_s or now_s) - LATE_S):
            self._may_read.wait()
            self.index.add(call)
        self.as_of_s = now_s


def _no_spend(call: Call) -> CallSpend:
    raise AssertionError("the first reading makes the index")
