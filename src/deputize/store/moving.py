"""One store handed over to another as it lies there: sealed payloads, wrapped keys, tombstones. Nothing is opened on
the way."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, runtime_checkable


class StoredKey(NamedTuple):
    """A wrapped data key; its id stays the same, for payloads are bound to it."""

    id: int
    tenant: str
    subject: bytes
    month: str
    wrapped_by: str
    wrapped: bytes


class StoredCall(NamedTuple):
    """A sealed call; None in place of the payload where it was erased. Agent and episode are keyed digests."""

    id: bytes
    time: float
    agent: bytes
    episode: bytes
    key: int
    schema: int
    payload: bytes | None


class StoredFeedback(NamedTuple):
    """Sealed feedback; its number stays the same, for the payload is bound to it."""

    seq: int
    key: int
    payload: bytes


class Tombstone(NamedTuple):
    """Trace of an erased origin."""

    tenant: str
    subject: bytes
    erased_at: float
    n_calls: int


class StoredRows(NamedTuple):
    """Everything in a store; each part can be read once, in this order. Feedback comes in the order it came, and so do
    calls of one time."""

    keys: Iterable[StoredKey]
    calls: Iterable[StoredCall]
    feedback: Iterable[StoredFeedback]
    tombstones: Iterable[Tombstone]


@runtime_checkable
class HandsOver(Protocol):
    """A store that can be left."""

    def handed_over(self, to: str) -> AbstractContextManager[StoredRows]:
        """Everything in the store; when the context ends without an error, it takes and gives nothing any more.

        Args:
            to: what it says from then on to who comes here: the name of the store that has the calls now.

        Raises:
            StoreError: it was left before, or cannot be read now.
        """
        ...
