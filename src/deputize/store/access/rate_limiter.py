"""Holds API keys to their limits: requests per minute in memory, money per month in a small database."""

from __future__ import annotations

import calendar
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from deputize.core.errors import AccessDenied, OverLimit, StoreError
from deputize.files import make_file, make_folder
from deputize.store.access.api_keys import ApiKey
from deputize.store.keys.data_keys import month_of
from deputize.store.sql import load_queries

_SQL = load_queries("meter")

_WAIT_FOR_CALLS_S = 5.0
"""When a caller may try again whose calls under way may use up its budget."""


class _Bucket:
    """A token bucket: one minute's worth may come at once, then at the steady rate."""

    __slots__ = ("_at", "_capacity", "_per_s", "_tokens")

    def __init__(self, per_minute: float, now: float) -> None:
        self._capacity = max(1.0, per_minute)
        self._per_s, self._tokens, self._at = per_minute / 60, self._capacity, now

    def wait_s(self, now: float) -> float:
        """0 where a token is there, else the seconds until the next one."""
        # a clock that goes backwards gives nothing and takes nothing
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._at) * self._per_s)
        self._at = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._per_s

    def take(self) -> None:
        """Takes a token that is there."""
        self._tokens -= 1


class KeyLimits(Protocol):
    """Holds keys to their limits: of the gateways of one home (RateLimiter), or of all that share a store."""

    async def obtain(self, key: ApiKey, usd: float) -> None:
        """Before `take_turn` and `reserve`: makes sure that what they need is known here."""
        ...

    def check_model(self, key: ApiKey, model: str) -> None:
        """Raises AccessDenied where a key may not ask for a model."""
        ...

    def check_budget(self, key: ApiKey) -> None:
        """Raises OverLimit where the budget of a key is known to be used up."""
        ...

    def check_turn(self, key: ApiKey) -> None:
        """Raises OverLimit where the requests that a key may make in a minute are known to be used up."""
        ...

    def take_turn(self, key: ApiKey) -> None:
        """Counts a request of a key. Raises OverLimit, or StoreError where it cannot be told."""
        ...

    def reserve(self, key: ApiKey, usd: float) -> float:
        """Sets aside what a call may cost, until `release`; returns how much. Raises as `take_turn`."""
        ...

    def release(self, key: ApiKey, usd: float) -> None:
        """Gives up what was set aside, once the call has been charged."""
        ...

    def spend(self, key: ApiKey, usd: float) -> None:
        """Notes what an answered request has cost."""
        ...

    def close(self) -> None:
        """Writes what was spent."""
        ...


class RateLimiter:
    """One per process; belongs to one thread. What keys spend is shared by all processes of a home."""

    def __init__(
        self,
        home: Path,
        *,
        n_workers: int = 1,
        sync_s: float = 1.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            home: the home folder; HOME/meter.db is made.
            n_workers: processes that share the requests evenly; each lets its share of the rate through.
            sync_s: how often spending is written and read; the most that a budget can be overrun is what is spent in
                that time.
            clock: Unix seconds, for the month.
            monotonic: seconds, for rates.

        Raises:
            StoreError: the file cannot be opened.
        """
        self._n_workers, self._sync_s, self._clock, self._monotonic = n_workers, sync_s, clock, monotonic
        self._buckets: dict[tuple[str, float], _Bucket] = {}
        self._unsaved: dict[tuple[str, str], float] = {}
        self._saved: dict[tuple[str, str], float] = {}
        self._reserved: dict[str, float] = {}
        """Key id -> USD that calls under way in this process may cost."""
        self._highest: dict[str, float] = {}
        """Key id -> USD of its most expensive call so far."""
        self._synced_at = float("-inf")
        self._path = home / "meter.db"
        try:
            make_folder(home)
            make_file(self._path)
            self._db = sqlite3.connect(self._path, timeout=1.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SQL["schema"])
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path} cannot be opened: {error}.") from error

    async def obtain(self, key: ApiKey, usd: float) -> None:
        """Everything is known here."""

    def admit(self, key: ApiKey, model: str) -> None:
        """Lets a call of a key in, or says why not.

        Raises:
            AccessDenied: the key may not ask for this model.
            OverLimit: rate or budget is used up; `retry_after_s` says when it may work again.
        """
        self.check_model(key, model)
        self.check_budget(key)
        self.take_turn(key)

    @staticmethod
    def check_model(key: ApiKey, model: str) -> None:
        """Raises AccessDenied where a key may not ask for a model."""
        if not key.may_ask(model):
            raise AccessDenied(f"The API key {key.id} may not ask for the model {model!r}.")

    def check_budget(self, key: ApiKey) -> None:
        """Raises OverLimit where a key has spent its budget, or calls under way may do so."""
        limit = key.usd_per_month
        if limit is None:
            return
        left_usd = limit - self.spent_usd(key)
        if left_usd <= 0:
            left_s = _seconds_to_next_month(self._clock())
            raise OverLimit(f"The API key {key.id} has used its {limit:g} USD of this month.", left_s)
        # other processes reserve too, so each may reserve its part of what is left
        if self._reserved.get(key.id, 0.0) >= left_usd / self._n_workers:
            raise OverLimit(
                f"Calls under way may use what is left of the {limit:g} USD that the API key {key.id} has this month.",
                _WAIT_FOR_CALLS_S,
            )

    def check_turn(self, key: ApiKey) -> None:
        """Raises OverLimit where the requests that a key may make in a minute are used up."""
        self._turn(key)

    def take_turn(self, key: ApiKey) -> None:
        """Counts a request of a key. Raises OverLimit as `check_turn`."""
        bucket = self._turn(key)
        if bucket is not None:
            bucket.take()

    def _turn(self, key: ApiKey) -> _Bucket | None:
        if key.requests_per_minute is None:
            return None
        now, rate = self._monotonic(), key.requests_per_minute / self._n_workers
        bucket = self._buckets.get((key.id, rate))
        if bucket is None:
            bucket = self._buckets[key.id, rate] = _Bucket(rate, now)
        wait_s = bucket.wait_s(now)
        if wait_s > 0:
            raise turns_used(key, wait_s)
        return bucket

    def reserve(self, key: ApiKey, usd: float) -> float:
        """Sets aside what a call may cost, until `release`. A call is taken to cost at least what the most expensive
        one of its key has cost.

        Returns:
            What was set aside, to be released.

        Raises:
            OverLimit: the budget is spent, or calls under way may spend it.
        """
        self.check_budget(key)
        usd = max(usd, self._highest.get(key.id, 0.0))
        self._reserved[key.id] = self._reserved.get(key.id, 0.0) + usd
        return usd

    def release(self, key: ApiKey, usd: float) -> None:
        """Gives up what was set aside, once the call has been charged."""
        left = self._reserved.get(key.id, 0.0) - usd
        if left > 1e-12:
            self._reserved[key.id] = left
        else:
            self._reserved.pop(key.id, None)

    def spend(self, key: ApiKey, usd: float) -> None:
        """Notes what an answered request has cost."""
        if usd > 0:
            name = (key.id, month_of(self._clock()))
            self._unsaved[name] = self._unsaved.get(name, 0.0) + usd
            self._highest[key.id] = max(usd, self._highest.get(key.id, 0.0))

    def spent_usd(self, key: ApiKey) -> float:
        """Amount the key has spent this month, in all processes, up to `sync_s` ago."""
        if self._monotonic() - self._synced_at >= self._sync_s:
            self.sync()
        name = (key.id, month_of(self._clock()))
        return self._saved.get(name, 0.0) + self._unsaved.get(name, 0.0)

    def sync(self) -> None:
        """Writes what was spent here and reads what was spent everywhere; a busy file is tried again next time."""
        self._synced_at = self._monotonic()
        try:
            if self._unsaved:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(_SQL["spend"], ((*name, usd) for name, usd in self._unsaved.items()))
                self._db.execute("COMMIT")
                self._unsaved.clear()
            month = month_of(self._clock())
            self._saved = {(key, month): usd for key, usd in self._db.execute(_SQL["spent"], (month,))}
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def spent_in(self, month: str) -> dict[str, float]:
        """US dollars that keys have spent in a month, by their ids. Raises StoreError."""
        try:
            return {key: usd for key, usd in self._db.execute(_SQL["spent"], (month,)) if usd > 0}
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}.") from error

    def replace_spent(self, month: str, spent: Mapping[str, float]) -> None:
        """Writes what keys have spent in a month, in the place of what stands there of them. Raises StoreError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_SQL["replace_spent"], [(key, month, usd) for key, usd in spent.items()])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StoreError(f"{self._path} cannot be written: {error}.") from error

    def close(self) -> None:
        """Writes what was spent."""
        self.sync()
        self._db.close()


def turns_used(key: ApiKey, wait_s: float) -> OverLimit:
    """The refusal of a request that is one too many."""
    return OverLimit(f"The API key {key.id} may make {key.requests_per_minute:g} requests a minute.", wait_s)


def _seconds_to_next_month(now: float) -> float:
    moment = time.gmtime(now)
    year, month = (moment.tm_year + 1, 1) if moment.tm_mon == 12 else (moment.tm_year, moment.tm_mon + 1)
    return max(1.0, calendar.timegm((year, month, 1, 0, 0, 0)) - now)
