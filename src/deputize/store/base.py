"""What every store can do. Calls go in whole and come out whole; what happens between is the store's own affair."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import msgspec

from deputize.core.records import Call, Message, Record


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call already encoded, with what a store needs to file it."""

    id: str
    tenant: str
    origin: str
    agent: str
    timestamp: float | None
    version: int
    data: bytes
    """The call as JSON."""
    episode: str


class Feedback(Record, frozen=True):
    """How a run of the agent, or one call of it, turned out, reported after the fact."""

    metric: str
    value: float
    episode: str = ""
    call_id: str = ""
    tenant: str = ""
    """Whose episodes and calls it is about; "" for everybody's, which only the owner of a home may say."""
    correction: Message | None = None
    """Of a call: the assistant message that would have been right."""


class Erased(Record, frozen=True):
    """Tombstone that an erasure leaves."""

    tenant: str
    origin: str
    """Pseudonym."""
    erased_at: float
    call_ids: list[str]
    """Calls that can no longer be read, for lineage: which specialists were trained on them."""
    n_keys: int = 0
    """Data keys that were destroyed; calls that were damaged have one too."""


class Store(Protocol):
    """Keeps calls. Safe to share between threads."""

    def append(self, calls: Sequence[Call]) -> int:
        """Adds calls that are not there yet (by id); all of them or none.

        A call of an erased origin is left out unless its time says that it was made after the erasure; one with the id
        of an erased call always is.

        Returns:
            How many were new. They survive a crash from here on.

        Raises:
            StoreError: disk full, locked, damaged; nothing was added.
            BadInput: a call that cannot be written as JSON; nothing was added.
        """
        ...

    def append_entries(self, entries: Sequence[Entry]) -> int:
        """As `append`, for calls that are encoded already (see store.codec.entry_of)."""
        ...

    def calls(
        self, *, agent: str | None = None, since: float | None = None, tenant: str | None = None
    ) -> Iterator[Call]:
        """Calls by time, then in the order they came; feedback is merged into `outcome`.

        What is added while one iterates does not appear.

        Args:
            agent: only this agent's calls.
            since: only calls at or after this Unix time; calls without a time count as at 0.
            tenant: only this tenant's calls.

        Raises:
            Tampered: a record does not match its seal.
            StoreError: the store cannot be read.
        """
        ...

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        """The calls with these ids, in their order; None for one that cannot be read here (see `gone`).

        Read a few at a time, each part as it is then: what is erased while one iterates is None. Feedback is not
        merged.

        Raises:
            Tampered: a record does not match its seal.
            StoreError: the store cannot be read.
        """
        ...

    def count(self) -> int:
        """Calls that can be read."""
        ...

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
        """Tells how an episode or a call turned out; durable when it returns. `tenant` "" is about everybody's.

        Args:
            episode: a run of the agent; "" where it is about a call.
            call_id: a call.
            metric: name of what is told, such as success.
            value: of the metric.
            tenant: whose episodes and calls it is about.
            correction: of a call, the right answer as an assistant message; `calls` then gives it as `correction`.

        Raises:
            BadInput: neither or both of `episode` and `call_id`, no metric, or a correction of an episode.
            StoreError: as for `append`.
        """
        ...

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        """Makes everything of one origin (a pseudonym) unreadable for good and leaves a tombstone.

        With it go the calls of the same episodes that name nobody. Those from before the erasure that come in later are
        not taken, also where the erasure did not know the episode: a call of the origin that comes in late tells it.
        Feedback on its calls and episodes goes too, but for that which another tenant gave.

        Raises:
            BadInput: an empty origin.
        """
        ...

    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        """Makes these calls of a tenant unreadable for good; their ids do not come back.

        Args:
            call_ids: calls; those of other tenants, and those that are not here, are left out.
            tenant: whose calls.
            episodes: episodes that are erased with them: the tenant's feedback on them goes too, as that on the calls,
                and so do those of their calls that name nobody; such calls that were made before are not taken any
                more.

        Returns:
            The calls that were erased.
        """
        ...

    def erased(self, call_ids: Sequence[str]) -> set[str]:
        """Those of `call_ids` that were erased."""
        ...

    def gone(self, call_ids: Sequence[str]) -> set[str]:
        """Those of `call_ids` that cannot be read here: erased, expired, or never stored."""
        ...

    def has_episode(self, tenant: str, episode: str) -> bool:
        """True where a call of this tenant's episode can be read here.

        False for the episode "": a call without one is in none. True also where it cannot be told.

        Raises:
            StoreError: the store cannot be read.
        """
        ...

    def tenants(self) -> list[str]:
        """Everybody whose calls are here."""
        ...

    def older(self, *, tenant: str, before: float) -> int:
        """Calls and feedback that `expire` would delete."""
        ...

    def expire(self, *, tenant: str, before: float) -> int:
        """Deletes a tenant's calls from before a Unix time (its retention limit); returns how many.

        Feedback goes with the month it came in. Calls without a time are kept.
        """
        ...

    def rewrap(self) -> int:
        """Wraps every key in the store again with the ring's active wrapping key; returns how many
        (maintenance.rotation).

        A store that keeps no wrapped keys returns 0.
        """
        ...

    def compact(self) -> bool:
        """Overwrites what deleted records have left in the store's files: logs, free pages.

        Returns:
            False where another reader holds old pages for longer than we may wait: they are still there.
        """
        ...

    def close(self) -> None:
        """Gives back what is held; twice does no harm."""
        ...
