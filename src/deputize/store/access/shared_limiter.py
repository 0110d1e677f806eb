"""Holds API keys to their limits over all gateways that share a store in PostgreSQL.

The server keeps what each key has taken; a process takes a slice ahead and spends it by itself, so most calls ask
nobody. However many gateways there are: of a rate, at most one slice a process beyond what one gateway would let
through; of a budget, nothing beyond it but what a call costs more than was set aside for it. A process that is killed
leaves its slice taken. While the server is away a process has what it took, then calls of keys with limits are refused.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from deputize.core.errors import OverLimit, StoreError
from deputize.store.access.api_keys import ApiKey
from deputize.store.access.rate_limiter import RateLimiter, turns_used
from deputize.store.keys.data_keys import month_of
from deputize.store.postgres_connection import PostgresServer, make_pool, server_errors_in_words
from deputize.store.sql import load_queries

_SQL = load_queries("postgres_limits")
_log = logging.getLogger("deputize.store")

TURNS_S = 0.25
"""A process takes the turns of so many seconds at once, at least one."""
BUDGET_SHARE = 0.005
"""The part of a month's budget that a process takes beyond what its calls under way need."""
_WAIT_S = 1.0
"""For a connection or a statement; and after a refusal, until the server is asked again."""
_ANSWER_S = 3.0
"""After that nobody waits for an answer any more. A server that stands still, or whose machine does, ends no statement
by its own clock."""
_AT_ONCE = 2
"""Questions to the server at once, and connections."""
_IDLE_S = 5.0
"""A key that has not been used for so long gives back what was taken of its budget."""
_WAIT_FOR_CALLS_S = 5.0
"""When a caller may try again whose budget is used up by calls under way, or for good."""
_EPSILON = 1e-12


class CommitUnknown(StoreError):
    """The server went away while it committed: what was asked of it may have been done."""


class _Share:
    """The part of a key's limits that this process has."""

    __slots__ = (
        "asking",
        "free_usd",
        "highest",
        "key",
        "month",
        "no_turn_until",
        "no_usd_until",
        "set_aside",
        "turns",
        "used_at",
    )

    def __init__(self, key: ApiKey, month: str) -> None:
        self.key, self.month = key, month
        self.asking = asyncio.Lock()
        self.turns, self.no_turn_until = 0, 0.0
        self.free_usd = self.highest = self.no_usd_until = 0.0
        """US dollars taken, neither set aside nor spent; below 0: calls cost more, which the server does not know
        yet."""
        self.set_aside = 0.0
        """For calls under way."""
        self.used_at = 0.0


class SharedLimiter:
    """One per process; belongs to one event loop."""

    check_model = staticmethod(RateLimiter.check_model)

    def __init__(
        self,
        server: PostgresServer,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            server: where the tables of the store are, of the newest version.
            clock: Unix seconds, for the month.
            monotonic: seconds that only go forward.
        """
        self._server = msgspec.structs.replace(server, connections=_AT_ONCE)
        self._clock, self._monotonic = clock, monotonic
        self._pool = make_pool(self._server, _WAIT_S)
        self._shares: dict[str, _Share] = {}
        self._away_until, self._is_away = float("-inf"), False
        self._keeper: asyncio.Task[None] | None = None
        self._taking: set[asyncio.Future[None]] = set()
        self._turn_to_ask = asyncio.Semaphore(_AT_ONCE)
        # of its own: a server that stands still keeps threads waiting; as many again find that no connection is left
        self._threads = ThreadPoolExecutor(2 * _AT_ONCE, thread_name_prefix="limits of keys")

    # --- what a call asks ---

    async def obtain(self, key: ApiKey, usd: float) -> None:
        """Takes what a call needs of its key's limits from the server, where this process has not enough."""
        share = self._share(key)
        share.used_at = self._monotonic()
        if not self._lacks(share, key, usd):
            return
        # others that waited too may have used what came meanwhile
        while self._lacks(share := self._share(key), key, usd):
            # a caller that hangs up must not take along what the server gives
            taking = asyncio.ensure_future(self._take_in_turn(share, key, usd))
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)
            await asyncio.shield(taking)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="limits of keys")

    def check_turn(self, key: ApiKey) -> None:
        """Raises OverLimit where the server has said that the turns of a key are used up."""
        share = self._shares.get(key.id)
        if share is not None and share.turns < 1 and self._monotonic() < share.no_turn_until:
            raise turns_used(key, share.no_turn_until - self._monotonic())

    def check_budget(self, key: ApiKey) -> None:
        """Raises OverLimit where the server has said that the budget of a key is used up."""
        share = self._shares.get(key.id)
        if share is not None and share.free_usd <= _EPSILON and self._monotonic() < share.no_usd_until:
            raise _budget_used(key)

    def take_turn(self, key: ApiKey) -> None:
        """Counts a request, after `obtain`.

        Raises:
            OverLimit: the turns are used up.
            StoreError: the server is away, and so are the turns that were taken ahead.
        """
        if key.requests_per_minute is None:
            return
        share = self._share(key)
        if share.turns < 1:
            self._check_away()
            raise turns_used(key, max(0.01, share.no_turn_until - self._monotonic()))
        share.turns -= 1

    def reserve(self, key: ApiKey, usd: float) -> float:
        """Sets aside what a call may cost, after `obtain`, until `release`. The last call of a budget sets aside what
        is left.

        Returns:
            What was set aside, to be released.

        Raises:
            OverLimit: the budget is spent, or calls under way may spend it.
            StoreError: the server is away, and so is what was taken ahead.
        """
        share = self._share(key)
        if share.free_usd <= _EPSILON:
            self._check_away()
            raise _budget_used(key)
        usd = min(max(usd, share.highest), share.free_usd)
        share.free_usd -= usd
        share.set_aside += usd
        return usd

    def release(self, key: ApiKey, usd: float) -> None:
        """Gives up what was set aside, once the call has been charged."""
        share = self._share(key)
        usd = min(usd, share.set_aside)  # nothing of a month that has ended meanwhile
        share.set_aside -= usd
        share.free_usd += usd

    def spend(self, key: ApiKey, usd: float) -> None:
        """Notes what an answered request has cost."""
        share = self._share(key)
        share.free_usd -= usd
        share.highest = max(usd, share.highest)

    def taken_usd(self, key: ApiKey) -> float:
        """US dollars that the processes of all gateways have taken of a key's budget this month. Raises StoreError."""
        rows = self._ask("taken_usd", {"key": key.id, "month": month_of(self._clock())})
        return float(rows[0]) if rows else 0.0

    # --- the server ---

    def _share(self, key: ApiKey) -> _Share:
        share, month = self._shares.get(key.id), month_of(self._clock())
        if share is None or share.month != month:
            # what is left of an ended month is nobody's any more
            share = self._shares[key.id] = _Share(key, month)
        return share

    def _lacks(self, share: _Share, key: ApiKey, usd: float) -> bool:
        now = self._monotonic()
        if now < self._away_until:
            return False
        if key.requests_per_minute is not None and share.turns < 1 and now >= share.no_turn_until:
            return True
        return (
            key.usd_per_month is not None
            and share.free_usd < max(usd, share.highest, _EPSILON)
            and now >= share.no_usd_until
        )

    async def _take_in_turn(self, share: _Share, key: ApiKey, usd: float) -> None:
        async with share.asking:  # whoever had the turn before may have taken enough for this one
            if self._lacks(share, key, usd):
                await self._take(share, key, usd)

    async def _take(self, share: _Share, key: ApiKey, usd: float) -> None:
        try:
            if key.requests_per_minute is not None and share.turns < 1:
                await self._take_turns(share, key, key.requests_per_minute)
            if key.usd_per_month is not None and share.free_usd < max(usd, share.highest, _EPSILON):
                await self._take_usd(share, key, key.usd_per_month, max(usd, share.highest))
        except StoreError as error:
            self._away_until = self._monotonic() + _WAIT_S
            if not self._is_away:
                self._is_away = True
                _log.error("limits of API keys are held by what was taken before: %s", error)
            return
        self._is_away = False

    async def _take_turns(self, share: _Share, key: ApiKey, per_minute: float) -> None:
        wanted = max(1, math.ceil(per_minute / 60 * TURNS_S))
        asked = {"key": key.id, "per_minute": per_minute, "wanted": wanted}
        given, wait_s = await self._answer_to("take_turns", asked)
        share.turns += given
        share.no_turn_until = self._monotonic() + wait_s

    async def _take_usd(self, share: _Share, key: ApiKey, most: float, usd: float) -> None:
        if share.free_usd < 0:  # what calls have cost beyond what was set aside for them
            await self._settle(share)
        wanted = usd - share.free_usd + most * BUDGET_SHARE
        asked = {"key": key.id, "month": share.month, "wanted": wanted, "most": most}
        (given,) = await self._answer_to("take_usd", asked)
        share.free_usd += given
        if given <= _EPSILON:
            share.no_usd_until = self._monotonic() + _WAIT_S

    async def _settle(self, share: _Share) -> None:
        """Gives back what is free, or takes what is owed."""
        usd = share.free_usd
        share.free_usd = 0.0
        try:
            asked = {"key": share.key.id, "month": share.month, "usd": usd}
            await self._answer_to("return_usd", asked)
        except StoreError as error:
            # given back perhaps, it may be another process's by now; what is owed is rather paid twice
            if usd < 0 or not isinstance(error, CommitUnknown):
                share.free_usd += usd
            raise

    async def _answer_to(self, name: str, asked: Mapping[str, Any]) -> tuple[Any, ...]:
        """As `_ask`, in a thread, and within `_ANSWER_S`."""
        async with self._turn_to_ask:
            if self._monotonic() < self._away_until:
                raise StoreError(f"{self._server.name} does not answer.")
            asking = asyncio.wrap_future(self._threads.submit(self._ask, name, asked))
            # not cancelled: a thread cannot be, and what it is told later is taken and lost
            done, _ = await asyncio.wait({asking}, timeout=_ANSWER_S)
            if not done:
                asking.add_done_callback(lambda late: late.cancelled() or late.exception())
                raise CommitUnknown(f"{self._server.name} says nothing for {_ANSWER_S:g} s.")
            return asking.result()

    def _ask(self, name: str, asked: Mapping[str, Any]) -> tuple[Any, ...]:
        is_done = False
        try:
            with (
                server_errors_in_words(self._server, _WAIT_S),
                self._pool.connection() as db,
                db.transaction(),
            ):
                db.execute(f"SET LOCAL statement_timeout = {int(1000 * _WAIT_S)}".encode())
                cursor = db.execute(_SQL[name], asked)
                found = (cursor.fetchone() or ()) if cursor.description is not None else ()
                is_done = True
            return found
        except StoreError as error:
            if is_done:
                raise CommitUnknown(str(error)) from error
            raise

    def _check_away(self) -> None:
        if self._monotonic() < self._away_until:
            raise StoreError("The limits of this API key cannot be checked now; try again.")

    async def _keep(self) -> None:
        """Gives back what keys that nobody uses have of their budgets."""
        while True:
            await asyncio.sleep(_IDLE_S)
            for share in list(self._shares.values()):
                is_idle = self._monotonic() - share.used_at > _IDLE_S
                if share.free_usd < 0 or (is_idle and share.free_usd > _EPSILON):
                    try:
                        await self._settle(share)
                    except StoreError:
                        break  # it is kept, and tried again

    def close(self) -> None:
        """Gives back what is free."""
        if self._keeper is not None:
            self._keeper.cancel()
        for share in self._shares.values():
            if abs(share.free_usd) > _EPSILON:
                asked = {"key": share.key.id, "month": share.month, "usd": share.free_usd}
                try:
                    self._threads.submit(self._ask, "return_usd", asked).result(_ANSWER_S)
                except (StoreError, TimeoutError) as error:
                    _log.warning("What was taken of budgets could not be given back: %s", error)
                    break
                share.free_usd = 0.0
        self._threads.shutdown(wait=False)
        self._pool.close()


def _budget_used(key: ApiKey) -> OverLimit:
    return OverLimit(
        f"The API key {key.id} has used its {key.usd_per_month:g} USD of this month, or calls under way may use the rest.",
        _WAIT_FOR_CALLS_S,
    )
