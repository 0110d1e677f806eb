"""Protocols of the parts that the live path is given: the recorder of calls and the route table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from deputize.core.records import Call, Message, Request
from deputize.router.table import RouteMatch
from deputize.store.recording.journal import Intent
from deputize.store.recording.recorder import RecorderStats


class CallRecorder(Protocol):
    """Keeps calls; `store.recording.recorder.Recorder` in production."""

    def admit(self) -> None:
        """Raises StoreError where a call could not be kept, before any work is spent on it."""
        ...

    def begin(self, *intents: Intent) -> None:
        """Notes that calls have begun: should the process die, their records say so."""
        ...

    def abandon(self, call_id: str) -> None:
        """Notes that a call that had begun was not made after all."""
        ...

    async def record(self, call: Call) -> None:
        """Keeps one call; under strict durability it is safe when this returns.

        Raises:
            StoreError: it could not be kept.
        """
        ...

    def record_now(self, call: Call) -> None:
        """As `record` without waiting, for tasks that are being cancelled."""
        ...

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
        """Keeps feedback on an episode or a call."""
        ...

    async def knows_call(self, call_id: str) -> bool:
        """True where a call has been kept, or may be on its way there."""
        ...

    async def knows_episode(self, tenant: str, episode: str) -> bool:
        """As `knows_call`, for any call of a tenant's episode; of anybody's where `tenant` is ""."""
        ...

    def counts(self) -> Mapping[str, float]:
        """The counters by name; `pending` and `under_way` are current values."""
        ...

    def stats(self) -> RecorderStats:
        """The state of the recorder."""
        ...


class RouteLookup(Protocol):
    """Finds the route of a request."""

    def match(self, request: Request, tenant: str) -> RouteMatch: ...
