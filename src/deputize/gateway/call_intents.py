"""Notes of calls that have begun, for those that take a while: should the process die, the store knows of them."""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._young: deque[Exchange] = deque()
        """Calls in the order in which they came, until they are settled or have an intent."""
        self._timer_runs = False

    def watch(self, exchange: Exchange) -> None:
        """Watches one call."""
        self._young.append(exchange)
        if not self._timer_runs:
            self._timer_runs = True
            asyncio.get_running_loop().call_later(INTENT_AFTER_S, self._check)

    def _check(self) -> None:
        young, latest = self._young, self._clock_s() - INTENT_AFTER_S
        begun: list[Intent] = []
        while young and (young[0].settled or young[0].context.started <= latest):
            exchange = young.popleft()
            if not exchange.settled:
                begun.append(_intent(exchange))
        if begun:
            self._recorder.begin(*begun)
        self._timer_runs = bool(young)
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
        episode=context.episode,
        model=exchange.model,
        timestamp=context.arrived_at,
    )
