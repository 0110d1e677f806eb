"""Specialists that are loaded when they are first asked, within limits of number and memory: the longest unused one
goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from deputize.core.errors import BadInput, Tampered
from deputize.files import FileStamp, stamp_of
from deputize.specialists.base import Predictor
from deputize.specialists.specialist_card import CARD, digest_of

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


class SpecialistCache:
    """Loaded specialists by folder. Several threads may ask; one that has to be loaded keeps the others of this cache
    waiting."""

    def __init__(
        self,
        home: Path,
        load: Callable[[Path], Predictor],
        unload: Callable[[Predictor], None],
        *,
        most: int = MAX_LOADED,
        most_bytes: float = 0,
    ) -> None:
        """
        Args:
            home: the folder that specialists' paths are relative to.
            load: makes a predictor of a specialist's folder.
            unload: frees what a predictor holds.
            most: specialists that are kept.
            most_bytes: that they hold together; 0: no such limit. One specialist is kept whatever it takes.
        """
        self.home, self._load, self._unload = home.resolve(), load, unload
        self.most, self.most_bytes = most, most_bytes
        self._loaded: OrderedDict[str, LoadedSpecialist] = OrderedDict()
        self._loading = threading.Lock()
        self.n_loads = 0
        """Since it began."""
        self.n_evictions = 0
        """Specialists that had to go for another one."""

    def get(self, name: str) -> Predictor:
        """The predictor of a specialist. Raises as `loaded`."""
        return self.loaded(name).predictor

    def loaded(self, name: str) -> LoadedSpecialist:
        """A specialist, loaded if need be; loaded again where its folder was replaced.

        Raises:
            BadInput: there is none, or its path leads out of the home.
            Tampered: its files do not match their checksums, or were changed meanwhile.
        """
        folder = (self.home / name).resolve()
        if not Path(name).is_absolute() and not folder.is_relative_to(self.home):
            raise BadInput(f"{name!r} leads out of the home")
        stamp = stamp_of(folder / CARD)
        if stamp is None:
            raise BadInput(f"there is no specialist in {name!r}")
        with self._loading:
            return self._found_or_loaded(name, folder, stamp)

    def _found_or_loaded(self, name: str, folder: Path, stamp: FileStamp) -> LoadedSpecialist:
        found = self._loaded.get(name)
        if found is not None and found.stamp == stamp:
            self._loaded.move_to_end(name)
            return found
        if found is not None:
            self._unload(self._loaded.pop(name).predictor)
        digest = digest_of(folder / CARD)
        predictor = self._load(folder)
        self.n_loads += 1
        if digest_of(folder / CARD) != digest:
            self._unload(predictor)
            raise Tampered(f"The card in {folder} was changed while the specialist was loaded.")
        loaded = LoadedSpecialist(stamp, predictor, digest, _n_bytes(folder))
        self._loaded[name] = loaded
        while len(self._loaded) > 1 and self._is_beyond():
            self._unload(self._loaded.popitem(last=False)[1].predictor)
            self.n_evictions += 1
        return loaded

    def _is_beyond(self) -> bool:
        return len(self._loaded) > self.most or bool(self.most_bytes and self.n_bytes > self.most_bytes)

    @property
    def n_bytes(self) -> int:
        """Bytes that the loaded specialists hold together."""
        return sum(one.n_bytes for one in self._loaded.values())

    def has(self, name: str) -> bool:
        """True where a specialist is loaded as its folder is now, so that `get` takes no time."""
        found, folder = self._loaded.get(name), (self.home / name).resolve()
        return found is not None and found.stamp == stamp_of(folder / CARD)

    def has_room_for(self, name: str) -> bool:
        """True where a specialist can be loaded ahead of its first request without another one going for it."""
        if len(self._loaded) >= self.most:
            return False
        return not self.most_bytes or self.n_bytes + _n_bytes(self.home / name) <= self.most_bytes

    def stamp(self, name: str) -> FileStamp | None:
        """Of the card of a specialist; None where there is none."""
        return stamp_of(self.home / name / CARD)

    def is_known(self, name: str) -> bool:
        """True where a specialist is loaded, maybe from a folder that was replaced since."""
        return name in self._loaded

    def __len__(self) -> int:
        return len(self._loaded)


def _n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
