"""Specialists that are loaded when they are first asked, within limits of number and memory: the longest unused one
goes first, and none while somebody is asking it."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deputize.core.errors import BadInput, Tampered
from deputize.files import FileStamp, stamp_of
from deputize.specialists.base import Predictor
from deputize.specialists.serving.base import EngineFailure, StillLoading
from deputize.specialists.serving.worker_troubles import MemoryWatch
from deputize.specialists.specialist_card import CARD, digest_of

log = logging.getLogger("deputize.engine")

MAX_LOADED = 64
"""Specialists kept loaded where nothing else is said."""


class LoadedSpecialist(NamedTuple):
    """A specialist in memory."""

    stamp: FileStamp
    """Of its card when it was loaded."""
    predictor: Predictor
    card_sha256: str
    """Of its card. The card holds the checksums of its other files, which were compared when it was loaded."""
    n_bytes: int
    """Of its files: what it takes beside a base model that it shares with others."""


@dataclass
class _InMemory:
    """A loaded specialist and how many are asking it now."""

    specialist: LoadedSpecialist
    n_users: int = 0


class SpecialistCache:
    """Loaded specialists by folder. Several threads may ask; only one loads or unloads at a time."""

    def __init__(
        self,
        home: Path,
        load: Callable[[Path], Predictor],
        unload: Callable[[Predictor], None],
        *,
        most: int = MAX_LOADED,
        most_bytes: float = 0,
        memory: MemoryWatch | None = None,
    ) -> None:
        """
        Args:
            home: the folder that specialists' paths are relative to.
            load: makes a predictor of a specialist's folder.
            unload: frees what a predictor holds.
            most: specialists that are kept.
            most_bytes: that they hold together; 0: no such limit. One specialist is kept whatever it takes, and those
                that are being asked until they have answered.
            memory: says what there was not enough memory for, and is told when there is none; None: nobody is.
        """
        self._memory = memory
        self.home, self._load, self._unload = home.resolve(), load, unload
        self.most, self.most_bytes = most, most_bytes
        self._kept: OrderedDict[str, _InMemory] = OrderedDict()
        self._loading = threading.Lock()
        """Held while a specialist is loaded or unloaded, which takes long."""
        self._counting = threading.Lock()
        """Held while what is kept, or who uses it, changes."""
        self.n_loads = 0
        """Since it began."""
        self.n_evictions = 0
        """Specialists that had to go for another one."""

    @contextmanager
    def using(self, name: str) -> Iterator[LoadedSpecialist]:
        """A specialist that stays loaded while the block lasts: loaded if need be, and again where its folder was
        replaced.

        Raises:
            BadInput: there is none, or its path leads out of the home.
            EngineFailure: there was not enough memory for it some minutes ago.
            Tampered: its files do not match their checksums, or were changed meanwhile.
            StillLoading: its folder was replaced, and what was in it before is still being asked.
        """
        kept = self._taken(name)
        try:
            yield kept.specialist
        finally:
            with self._counting:
                kept.n_users -= 1
            # what could not go while it was asked goes now, unless somebody is loading, who looks afterwards as well
            if self._is_beyond() and self._loading.acquire(blocking=False):
                try:
                    self._shrink()
                finally:
                    self._loading.release()

    def _taken(self, name: str) -> _InMemory:
        folder = (self.home / name).resolve()
        if not Path(name).is_absolute() and not folder.is_relative_to(self.home):
            raise BadInput(f"{name!r} leads out of the home")
        stamp = stamp_of(folder / CARD)
        if stamp is None:
            raise BadInput(f"there is no specialist in {name!r}")
        # one that is loaded is not kept waiting by another one's loading
        if (kept := self._taken_if_loaded(name, stamp)) is not None:
            return kept
        with self._loading:
            if (kept := self._taken_if_loaded(name, stamp)) is None:
                self._forget_replaced(name)
                kept = self._keep_loaded(name, folder, stamp)
                self._shrink()
            return kept

    def _taken_if_loaded(self, name: str, stamp: FileStamp) -> _InMemory | None:
        with self._counting:
            kept = self._kept.get(name)
            if kept is None or kept.specialist.stamp != stamp:
                return None
            self._kept.move_to_end(name)
            kept.n_users += 1
            return kept

    def _forget_replaced(self, name: str) -> None:
        """Unloads what was in a folder before; both at once would share the name of an adapter."""
        with self._counting:
            kept = self._kept.get(name)
            if kept is not None and kept.n_users:
                raise StillLoading(f"{name!r} was replaced; it is loaded once nobody asks the one before")
            self._kept.pop(name, None)
        if kept is not None:
            self._let_go(kept.specialist.predictor)

    def _let_go(self, predictor: Predictor) -> None:
        try:
            self._unload(predictor)
        except Exception:
            # it costs memory, and nobody an answer
            log.exception("a specialist could not be unloaded")

    def _keep_loaded(self, name: str, folder: Path, stamp: FileStamp) -> _InMemory:
        if self._memory is not None and (why := self._memory.why_left_out(name)):
            raise EngineFailure(f"{name!r} is left out: {why}")
        digest = digest_of(folder / CARD)
        try:
            predictor = self._load(folder)
        except Exception as error:
            self.note_failure(name, error)
            raise
        self.n_loads += 1
        if digest_of(folder / CARD) != digest:
            self._let_go(predictor)
            raise Tampered(f"The card in {folder} was changed while the specialist was loaded.")
        kept = _InMemory(LoadedSpecialist(stamp, predictor, digest, _n_bytes(folder)), n_users=1)
        with self._counting:
            self._kept[name] = kept
        return kept

    def note_failure(self, name: str, error: Exception) -> None:
        """Ends this process where a specialist failed for want of memory."""
        if self._memory is not None:
            self._memory.give_up(name, error)

    def _shrink(self) -> None:
        """Unloads the longest unused specialists while there are too many; the newest one stays."""
        while self._is_beyond():
            with self._counting:
                names = list(self._kept)[:-1]
                idle = next((name for name in names if not self._kept[name].n_users), None)
                if idle is None:
                    return
                kept = self._kept.pop(idle)
            self.n_evictions += 1
            self._let_go(kept.specialist.predictor)

    def _is_beyond(self) -> bool:
        return len(self._kept) > self.most or bool(self.most_bytes and self.n_bytes > self.most_bytes)

    @property
    def n_bytes(self) -> int:
        """Bytes that the loaded specialists hold together."""
        with self._counting:
            return sum(kept.specialist.n_bytes for kept in self._kept.values())

    def has(self, name: str) -> bool:
        """True where a specialist is loaded as its folder is now, so that it can be asked at once."""
        kept, folder = self._kept.get(name), (self.home / name).resolve()
        return kept is not None and kept.specialist.stamp == stamp_of(folder / CARD)

    def has_room_for(self, name: str) -> bool:
        """True where a specialist can be loaded ahead of its first request without another one going for it."""
        if len(self._kept) >= self.most:
            return False
        return not self.most_bytes or self.n_bytes + _n_bytes(self.home / name) <= self.most_bytes

    def stamp(self, name: str) -> FileStamp | None:
        """Of the card of a specialist; None where there is none."""
        return stamp_of(self.home / name / CARD)

    def is_known(self, name: str) -> bool:
        """True where a specialist is loaded, maybe from a folder that was replaced since."""
        return name in self._kept

    def __len__(self) -> int:
        return len(self._kept)


def _n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
