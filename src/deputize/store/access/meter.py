"""Holds API keys to their limits: requests per minute in memory, money per month in a small database."""

from __future__ import annotations

import calendar
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from deputize.core.errors import AccessDenied, OverLimit, StoreError
from deputize.store.access.api_keys import ApiKey
from deputize.store.keys.data_keys import month_of
from deputize.store.sql import load_queries

_SQL = load_queries("meter")


class _Bucket:
    """A token bucket: one minute's worth may come at once, then at the steady rate."""

    __slots__ = ("_at", "_capacity", "_per_s", "_tokens")

    def __init__(self, per_minute: float, now: float) -> None:
        self._capacity = max(1.0, per_minute)
        self._per_s, self._tokens, self._at = per_minute / 60, self._capacity, now

    def take(self, now: float) -> float:
        """0 where a token was there and is taken, else the seconds until the next one."""
        # a clock that goes backwards gives nothing and takes nothing
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._at) * self._per_s)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s


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
        self._synced_at = float("-inf")
        home.mkdir(parents=True, exist_ok=True)
        self._path = home / "meter.db"
        try:
            self._db = sqlite3.connect(self._path, timeout=1.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SQL["schema"])
            self._path.chmod(0o600)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path} cannot be opened: {error}.") from error

    def admit(self, key: ApiKey, model: str) -> None:
        """Lets a request of a key in, or says why not.

        Raises:
            AccessDenied: the key may not ask for this model.
            OverLimit: rate or budget is used up; `retry_after_s` says when it may work again.
        """
        if not key.may_ask(model):
            raise AccessDenied(f"The API key {key.id} may not ask for the model {model!r}.")
        if key.usd_per_month is not None and self.spent_usd(key) >= key.usd_per_month:
            left_s = _seconds_to_next_month(self._clock())
            raise OverLimit(
                f"The API key {key.id} has used its {key.usd_per_month:g} USD of this month.", left_s
            )
        if key.requests_per_minute is not None:
            now, rate = self._monotonic(), key.requests_per_minute / self._n_workers
            bucket = self._buckets.get((key.id, rate))
            if bucket is None:
                bucket = self._buckets[key.id, rate] = _Bucket(rate, now)
            wait_s = bucket.take(now)
            if wait_s > 0:
                raise OverLimit(
                    f"The API key {key.id} may make {key.requests_per_minute:g} requests a minute.", wait_s
                )

    def spend(self, key: ApiKey, usd: float) -> None:
        """Notes what an answered request has cost."""
        if usd > 0:
            name = (key.id, month_of(self._clock()))
            self._unsaved[name] = self._unsaved.get(name, 0.0) + usd

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

    def close(self) -> None:
        """Writes what was spent."""
        self.sync()
        self._db.close()


def _seconds_to_next_month(now: float) -> float:
    moment = time.gmtime(now)
    year, month = (moment.tm_year + 1, 1) if moment.tm_mon == 12 else (moment.tm_year, moment.tm_mon + 1)
    return max(1.0, calendar.timegm((year, month, 1, 0, 0, 0)) - now)
