"""The specialists of open routes, which are loaded before anybody waits for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from deputize.core.errors import DeputizeError
from deputize.files import FileStamp, stamp_of
from deputize.specialists.base import WarmsUp
from deputize.specialists.serving.specialist_cache import SpecialistCache

log = logging.getLogger("deputize.engine")


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
    """Has the specialists of one model thread loaded before they are asked for; the LLM answers its routes' calls
    meanwhile.

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
        self._now = ""
        self._tried: set[tuple[str, FileStamp | None]] = set()
        """Loaded once, or found to be unusable, or to have no room: whoever asks for them again waits for it, and is
        told why."""

    def next(self) -> str:
        """A specialist to be loaded, or that is being loaded; "" where all are."""
        if self._now:
            return self._now
        for name in self._routes.names():
            if self._cache.is_known(name) or not self._wanted(name):
                continue
            version = name, self._cache.stamp(name)
            if version in self._tried:
                continue
            if self._cache.has_room_for(name):
                return name
            self._tried.add(version)
        return ""

    def refuses(self, name: str) -> bool:
        """True for a specialist of a route whose calls would wait while this thread loads."""
        return bool(self.next()) and name in self._routes.names()

    def load(self, name: str) -> None:
        """Loads a specialist and warms it up; one that cannot be is named in the log."""
        stamp = self._cache.stamp(name)
        self._now = name
        try:
            with self._cache.using(name) as loaded:
                if isinstance(loaded.predictor, WarmsUp):
                    loaded.predictor.warm_up()
        except (DeputizeError, OSError) as error:
            log.error("%s cannot be loaded: %s", name, error)
        except Exception as error:
            # the edge of the worker: a bug in one specialist must not end the thread that answers for the others
            log.exception("%s cannot be loaded", name)
            self._cache.note_failure(name, error)
        finally:
            self._tried.add((name, stamp))
            self._now = ""
