"""The specialists that are loaded in the worker, and those of open routes, which are loaded before anybody waits for them."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import msgspec

from deputize.core.errors import BadInput, DeputizeError
from deputize.files import FileStamp, stamp_of
from deputize.specialists.base import Predictor

log = logging.getLogger("deputize.engine")

MAX_LOADED = 64
"""Specialists kept loaded; the longest unused one goes first."""


class SpecialistCache:
    """Loaded specialists by folder, the longest unused dropped first. Several threads may ask."""

    def __init__(
        self,
        home: Path,
        load: Callable[[Path], Predictor],
        unload: Callable[[Predictor], None],
        most: int = MAX_LOADED,
    ) -> None:
        self.home, self._load, self._unload, self.most = home.resolve(), load, unload, most
        self._loaded: OrderedDict[str, tuple[FileStamp, Predictor]] = OrderedDict()
        self._loading = threading.Lock()

    def get(self, name: str) -> Predictor:
        """A specialist, loaded if need be; loaded again where its folder was replaced.

        Raises:
            BadInput: there is none, or its path leads out of the home.
        """
        folder = (self.home / name).resolve()
        if not Path(name).is_absolute() and not folder.is_relative_to(self.home):
            raise BadInput(f"{name!r} leads out of the home")
        stamp = stamp_of(folder / "specialist.json")
        if stamp is None:
            raise BadInput(f"there is no specialist in {name!r}")
        with self._loading:
            return self._found_or_loaded(name, folder, stamp)

    def _found_or_loaded(self, name: str, folder: Path, stamp: FileStamp) -> Predictor:
        found = self._loaded.get(name)
        if found is not None and found[0] == stamp:
            self._loaded.move_to_end(name)
            return found[1]
        if found is not None:
            self._unload(self._loaded.pop(name)[1])
        specialist = self._load(folder)
        self._loaded[name] = (stamp, specialist)
        while len(self._loaded) > self.most:
            self._unload(self._loaded.popitem(last=False)[1][1])
        return specialist

    def has(self, name: str) -> bool:
        """True where a specialist is loaded as its folder is now, so that `get` takes no time."""
        found, folder = self._loaded.get(name), (self.home / name).resolve()
        return found is not None and found[0] == stamp_of(folder / "specialist.json")

    def __len__(self) -> int:
        return len(self._loaded)

    def stamp(self, name: str) -> FileStamp | None:
        """Of the card of a specialist; None where there is none."""
        return stamp_of(self.home / name / "specialist.json")

    def is_known(self, name: str) -> bool:
        """True where a specialist is loaded, maybe from a folder that was replaced since."""
        return name in self._loaded


def routed(home: Path) -> list[str]:
    """The specialists that the home's route file names; [] where it cannot be read (the gateway reports that)."""
    try:
        file = msgspec.json.decode((home / "routes.json").read_bytes())["file"]
        open_ = [r for r in file["routes"] if r.get("state", "closed") != "closed"]
        open_ += [r for r in file.get("challengers", ()) if r.get("state", "closed") in ("shadow", "canary")]
        return list(dict.fromkeys(str(r["specialist"]) for r in open_))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return []


class RoutedSpecialists:
    """The specialists of a home's open routes, read again whenever the route file has changed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read: tuple[FileStamp | None, list[str]] = (None, [])

    def names(self) -> list[str]:
        """Their folders, relative to the home."""
        stamp = stamp_of(self._home / "routes.json")
        if stamp is None:
            return []
        if stamp != self._read[0]:
            self._read = stamp, routed(self._home)
        return self._read[1]


class LoadsAhead:
    """Has the specialists of one model thread loaded before they are asked for; the LLM answers its routes' calls meanwhile.

    Loading stays in the thread that answers: adapters are put into the layers that it reads.
    """

    def __init__(
        self, cache: SpecialistCache, routes: RoutedSpecialists, wanted: Callable[[str], bool]
    ) -> None:
        """
        Args:
            cache: of the thread.
            routes: of the home.
            wanted: True for a specialist that this thread answers for.
        """
        self._cache, self._routes, self._wanted = cache, routes, wanted
        self._tried: set[tuple[str, FileStamp | None]] = set()
        """Loaded once, or found to be unusable: whoever asks for them again waits for it, and is told why."""

    def next(self) -> str:
        """A specialist to be loaded; "" where all are."""
        for name in self._routes.names():
            if self._cache.is_known(name) or not self._wanted(name):
                continue
            if (name, self._cache.stamp(name)) not in self._tried:
                return name
        return ""

    def refuses(self, name: str) -> bool:
        """True for a specialist of a route whose calls would wait while this thread loads."""
        return bool(self.next()) and name in self._routes.names()

    def load(self, name: str) -> None:
        """Loads a specialist; one that cannot be is named in the log."""
        stamp = self._cache.stamp(name)
        try:
            self._cache.get(name)
        except (DeputizeError, OSError) as error:
            log.error("%s cannot be loaded: %s", name, error)
        except Exception:
            # the edge of the worker: a bug in one specialist must not end the thread that answers for the others
            log.exception("%s cannot be loaded", name)
        finally:
            self._tried.add((name, stamp))
