"""Calls and episodes that are known: in the store, or on their way there from any process of the home."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from deputize.core.errors import Tampered
from deputize.store.base import Entry, Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.recording.journal import ENTRIES, INTENTS, Intent, Segment
from deputize.store.recording.journal_backlog import backlog_of

MOST_BYTES = 64 << 20
"""Journals that are larger together are not read: whatever is asked for may be in them."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.4
_ENTRIES = msgspec.msgpack.Decoder(list[Entry])
_INTENTS = msgspec.msgpack.Decoder(list[Intent])

IsMeant: TypeAlias = Callable[[Entry | Intent], bool]
"""True for a call that is asked for, whether it has ended or is under way."""


class KnownCalls:
    """Looks for calls in the store, in the memory of this process, and in the journals of every process of the home.

    A call leaves the journal some hundredths of a second after its answer, so the store is asked for a while before the
    journals are read; and once more after them, since a call may go from one to the other meanwhile. Processes on other
    machines that share the store are waited for, and their journals cannot be read.
    """

    def __init__(
        self,
        store: Store,
        keyring: KeyRing,
        folders: Sequence[Path],
        held: Callable[[], Iterable[Entry | Intent]],
    ) -> None:
        """
        Args:
            store: where calls end up.
            keyring: of the journals.
            folders: of the journals.
            held: the calls that this process has in memory; asked on the event loop.
        """
        self._store, self._keyring, self._folders, self._held = store, keyring, folders, held

    async def call(self, call_id: str, wait_s: float) -> bool:
        """True where a call is in the store, comes there within `wait_s`, is under way, or may wait in a journal.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._is_known(
            lambda: not self._store.gone([call_id]), lambda one: one.id == call_id, wait_s
        )

    async def episode(self, tenant: str, episode: str, wait_s: float) -> bool:
        """As `call`, for any call of a tenant's episode; of anybody's where `tenant` is ""."""
        store = self._store

        def is_kept() -> bool:
            tenants = [tenant] if tenant else store.tenants()
            return any(store.has_episode(one, episode) for one in tenants)

        return await self._is_known(
            is_kept, lambda one: one.episode == episode and tenant in ("", one.tenant), wait_s
        )

    async def _is_known(self, is_kept: Callable[[], bool], is_meant: IsMeant, wait_s: float) -> bool:
        def may_wait() -> bool:
            return may_hold(self._folders, self._keyring, is_meant) or is_kept()

        loop = asyncio.get_running_loop()
        until, pause_s = loop.time() + wait_s, _FIRST_PAUSE_S
        while not await loop.run_in_executor(None, is_kept):
            if any(is_meant(one) for one in self._held()):
                return True
            if loop.time() >= until:
                return await loop.run_in_executor(None, may_wait)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return True


def may_hold(folders: Sequence[Path], keyring: KeyRing, is_meant: IsMeant) -> bool:
    """True where a journal holds a call that is meant, whoever writes it, or where that cannot be told.

    Args:
        folders: of the journals.
        keyring: that they are written with.
        is_meant: tells the call.
    """
    if backlog_of(folders).n_bytes > MOST_BYTES:
        return True
    paths = [path for folder in folders if folder.is_dir() for path in folder.glob("*.journal")]
    return any(map(partial(_holds, keyring.derive("journal"), is_meant), paths))


def _holds(key: bytes, is_meant: IsMeant, path: Path) -> bool:
    try:
        segment = Segment.peek(path, key, path.stat().st_size)
    except FileNotFoundError:  # all of it is in the store
        return False
    except (OSError, Tampered):
        return path.exists()
    offset = 0
    try:
        while True:
            frames, offset = segment.read(offset)
            if not frames:
                return False
            if any(is_meant(one) for kind, data in frames for one in _decoded(kind, data)):
                return True
    except (OSError, Tampered, msgspec.DecodeError):
        return True
    finally:
        segment.close()


def _decoded(kind: int, data: bytes) -> list[Entry] | list[Intent]:
    return _ENTRIES.decode(data) if kind == ENTRIES else _INTENTS.decode(data) if kind == INTENTS else []
