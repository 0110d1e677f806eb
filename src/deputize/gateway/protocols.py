"""What the live path needs from other parts, as small protocols; the real ones live in store, router and engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from deputize.core.records import Call, Request, Route
from deputize.store.recording.journal import Intent
from deputize.store.recording.recorder import RecorderStats


class CallRecorder(Protocol):
    """Keeps calls; `store.recording.recorder.Recorder` in production."""

    def admit(self) -> None:
        """Raises StoreError when a call could not be kept, so that none need be made."""
        ...

    def begin(self, *intents: Intent) -> None:
        """Calls begin; should the process die, their records say so."""
        ...

    def abandon(self, call_id: str) -> None:
        """A call that had begun was never made."""
        ...

    async def record(self, call: Call) -> None:
        """Takes one call; under strict durability it is safe when this returns.

        Raises:
            StoreError: it could not be kept.
        """
        ...

    def record_now(self, call: Call) -> None:
        """As `record`, for places that cannot wait."""
        ...

    async def add_feedback(
        self, *, episode: str = "", call_id: str = "", metric: str, value: float, tenant: str = ""
    ) -> None:
        """Keeps what a caller tells about how a run or a call turned out."""
        ...

    def counts(self) -> Mapping[str, float]:
        """The counters by name; `pending` and `under_way` are of now."""
        ...

    def stats(self) -> RecorderStats:
        """How things stand."""
        ...


class RouteLookup(Protocol):
    """Finds the route of a request."""

    def match(self, request: Request) -> Route | None: ...
