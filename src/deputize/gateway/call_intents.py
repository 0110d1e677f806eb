"""Notes of calls that have begun, for those that take a while: should the process die, the store knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deputize.gateway.exchange import Exchange
from deputize.gateway.protocols import CallRecorder
from deputize.store.recording.journal import Intent

INTENT_AFTER_S = 0.02
"""A call that ends sooner leaves its record at once and needs no intent; for others one is written after once to twice
this time."""


class CallIntents:
    """Watches calls from their beginning until they are settled, with one timer for all of them."""

    def __init__(self, recorder: CallRecorder, clock_s: Callable[[], float]) -> None:
        self._recorder, self._clock_s = recorder, clock_s
        self._young: dict[str, Exchange] = {}
        """Calls by their ids, until they end or have an intent."""
        self._timer_runs = False

    def watch(self, exchange: Exchange) -> None:
        """Watches one call."""
        self._young[exchange.context.id] = exchange
        if not self._timer_runs:
            self._timer_runs = True
            asyncio.get_running_loop().call_later(INTENT_AFTER_S, self._check)

    def ended(self, exchange: Exchange) -> None:
        """A call is over. It is let go at once: held until the next look, its messages would fill the memory that the
        next calls could use again."""
        self._young.pop(exchange.context.id, None)

    def _check(self) -> None:
        latest = self._clock_s() - INTENT_AFTER_S
        due = [e for e in self._young.values() if e.settled or e.context.started <= latest]
        for exchange in due:
            self.ended(exchange)
        begun = [_intent(exchange) for exchange in due if not exchange.settled]
        if begun:
            self._recorder.begin(*begun)
        self._timer_runs = bool(self._young)
        if self._timer_runs:
            asyncio.get_running_loop().call_later(INTENT_AFTER_S, self._check)


def _intent(exchange: Exchange) -> Intent:
    context = exchange.context
    return Intent(
        id=context.id,
        tenant=context.tenant,
        origin=context.origin,
        agent=context.agent,
        site=context.site,
        episode=context.episode if context.record == "full" else "",
        model=exchange.model,
        timestamp=context.arrived_at,
    )
