"""A home that shares routes, API keys and specialists with others: takes over what they publish, publishes what it
changes.

Every change is made on top of the newest version and published before it is made here. Of two homes that change at once
one finds its version taken; it takes over the other's and makes its change again. A home killed in between takes over
its own version like everybody else's. What is large is sent before a change takes its locks (`sending_first`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from deputize.core.errors import StoreError, Tampered
from deputize.files import locked, locked_at_once, make_folder, write_atomic
from deputize.routes_file import parse_routes
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.generations import AuditedRoutes, generation_detail
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.buckets import Bucket
from deputize.store.published.sealed_objects import (
    OBJECTS,
    age_s,
    get_file,
    get_state,
    put_state,
)
from deputize.store.published.sending import NotSent, SentFolders
from deputize.store.published.version_pointer import (
    POINTERS,
    PublishedExport,
    PublishedObject,
    PublishedState,
    VersionPointer,
    closed_in,
    digest,
    opened_pointer,
    pointer_name,
    sealed_pointer,
    specialists_of,
)

_log = logging.getLogger("deputize.store")

POINTER = "pointer"
"""What the audit log calls it."""
CARD = "specialist.json"
"""The file of a specialist that pins the others (specialists.specialist_card, a layer above)."""
KEPT_RUNS = 16
"""Runs that are shared, the newest by their names."""
KEPT_POINTERS = 64
"""Older ones are deleted: a home that has been away for longer reads the newest without the steps in between."""
_ATTEMPTS = 20
_RACES = 200
"""Versions that others may publish one after the other before this home gives its change up: of four homes that publish
without a pause, each change of the slowest took up to 13 s and more than 20 races."""
_ORPHAN_S = 86400.0
"""Age from which an object that no state names was left by a publisher that died."""

_COMING = "coming"
"""Folder of specialists that are being fetched. What a killed process left in it goes with the next fetch: weights that
nobody would delete else, not even an erasure."""
_FETCHED = "fetched"
"""Folder with an empty file for each specialist that was fetched, which may be deleted when no route has it any
more."""

T = TypeVar("T")


class PublishedMeanwhile(StoreError):
    """Another home has published the version that this one was about to."""


class PublishedHome:
    """The part of a home that is shared. Threads and processes may use it at once; one at a time changes or takes
    over."""

    def __init__(self, home: Path, keyring: KeyRing, audit: AuditLog, bucket: Bucket) -> None:
        """
        Args:
            home: the home folder.
            keyring: its keys; all homes that share have the same.
            audit: its audit log, which knows the newest version that was taken over.
            bucket: where things are published.
        """
        self._home, self._keyring, self._audit, self.bucket = home, keyring, audit, bucket
        self._routes_path, self._keys_path = home / "routes.json", home / "keys" / "api_keys.json"
        self._routes = AuditedRoutes(lambda: audit)
        self._end, self._known = 0, (0, "")
        self._noting = threading.Lock()
        self._base, self._state = VersionPointer(), PublishedState()
        """The newest version and its state, while a change is under way."""
        self._published: tuple[VersionPointer, str] | None = None
        self._sent = SentFolders(home, bucket, keyring, CARD)

    @property
    def version(self) -> int:
        """The newest version that was taken over or published here; 0: none."""
        return self._noted()[0]

    @property
    def may_be_out(self) -> bool:
        """True where the last change may be published, also where it failed: its objects are to stay."""
        return self._published is not None

    def _noted(self) -> tuple[int, str]:
        """(version, digest of its pointer) that the audit log knows."""
        with self._noting:
            self._end, entry = self._audit.latest("file", POINTER, since=self._end)
            if entry is not None:
                self._known = int(entry.detail.get("generation", "0")), entry.detail.get("sha256", "")
            return self._known

    # --- taking over ---

    def look(self) -> bool:
        """Takes over the newest version; True where there was a newer one.

        When this returns, no version had been published before the call that is not in force here now.

        Raises:
            StoreError: the object store cannot be reached, or nothing is published there.
            Tampered: the pointer was changed or is older than the one known here.
        """
        known = self._noted()
        if self._newest(known)[0].version == known[0]:
            return False
        with locked(self._home / "published"):
            return self._catch_up()

    def _newest(self, known: tuple[int, str]) -> tuple[VersionPointer, str]:
        """The newest pointer and its digest, at least as new as the known one."""
        version, sha256 = known
        found: tuple[VersionPointer, str] | None = None
        while (blob := self.bucket.read(pointer_name(version + 1))) is not None:
            pointer = opened_pointer(blob, version + 1, self._keyring)
            if version and pointer.previous != sha256:
                raise Tampered(
                    f"The pointer in {self.bucket.address} was begun again: version {version + 1} does not follow the version "
                    f"{version} that this home knows. Nothing of it is used."
                )
            version, sha256 = version + 1, digest(blob)
            found = pointer, sha256
        return found or self._still_there(version, sha256)

    def _still_there(self, version: int, sha256: str) -> tuple[VersionPointer, str]:
        """The pointer of the version known, which must be the newest; else the newest after a gap."""
        blob = self.bucket.read(pointer_name(version)) if version else None
        if blob is not None and digest(blob) == sha256:
            return opened_pointer(blob, version, self._keyring), sha256
        newest = max(self._versions(), default=0)
        if not version and not newest:
            raise StoreError(
                f"Nothing is published in {self.bucket.address} yet: `deputize publish` does so on the home with the routes."
            )
        if blob is not None or newest <= version:
            there = f"its newest version is {newest}" if blob is None else f"version {version} is another one"
            raise Tampered(
                f"The pointer in {self.bucket.address} was rolled back: {there}, and this home knows {version}. Nothing of it is "
                "used. Put the newest pointers back, or begin again from the home that knows the newest version: "
                "deputize publish --begin-again"
            )
        return self._opened(newest)

    def _opened(self, version: int) -> tuple[VersionPointer, str]:
        blob = self.bucket.read(pointer_name(version))
        if blob is None:
            raise StoreError(f"{self.bucket.address} is changing; try again.")
        return opened_pointer(blob, version, self._keyring), digest(blob)

    def _versions(self) -> list[int]:
        return [int(name) for name in self.bucket.names(POINTERS) if name.isdecimal()]

    def _catch_up(self) -> bool:
        """Takes over the newest version, inside the lock; True where it changed anything here."""
        known = self._noted()
        pointer, sha256 = self._newest(known)
        for _ in range(_ATTEMPTS):
            found = get_state(pointer.state, self.bucket, self._keyring)
            if found is not None:
                state = found
                break
            # either a newer version came meanwhile, or this pointer was left over and those after it are deleted
            pointer, sha256 = self._opened(max(self._versions(), default=0))
        else:
            raise StoreError(f"The state of version {pointer.version} in {self.bucket.address} is gone.")
        if pointer.version < known[0]:
            raise StoreError(f"{self.bucket.address} is changing; try again.")
        self._base, self._state = pointer, state
        is_new = pointer.version > known[0]
        changed = self._install(state, is_first=not known[0])
        if is_new:
            self._note(pointer.version, sha256)
        return changed or is_new

    def _note(self, version: int, sha256: str) -> None:
        detail = {**generation_detail(POINTER, version), "sha256": sha256}
        self._audit.append("file.write", subject=POINTER, detail=detail)

    def _install(self, state: PublishedState, *, is_first: bool) -> bool:
        """Writes what differs here: routes and keys at once, for a route that is closed must not wait for a
        download."""
        changed = False
        for path, data in ((self._routes_path, state.routes), (self._keys_path, state.keys)):
            found = _bytes_of(path)
            if not data or found == data:
                continue
            if is_first and found is not None:
                write_atomic(path.with_name(f"{path.name}.before"), found)
            if path == self._routes_path:
                file, sha256 = parse_routes(path, data)
                self._routes.note(file.generation, sha256, data)
                write_atomic(path, data)
            else:
                ApiKeys(self._home, self._keyring).install(data)
            changed = True
        return changed

    def state(self) -> PublishedState:
        """The state of the newest version. Raises StoreError, Tampered as `look`."""
        pointer, _ = self._newest(self._noted())
        found = get_state(pointer.state, self.bucket, self._keyring)
        if found is None:
            raise StoreError(f"{self.bucket.address} is changing; try again.")
        return found

    # --- specialists ---

    def fetch(self) -> list[str]:
        """Fetches the specialists of the version in force that are not here, and deletes those fetched before that no
        version names any more. One process of a home at a time; the others return at once.

        Returns:
            The folders that were fetched.

        Raises:
            StoreError, Tampered: as `look`, or a folder cannot be fetched or written. The others are there all the
                same.
        """
        make_folder(self._home / OBJECTS)
        try:
            with locked_at_once(self._home / OBJECTS / "fetch"):
                shutil.rmtree(self._home / OBJECTS / _COMING, ignore_errors=True)
                version = self._noted()
                pointer, _ = self._newest(version)
                state = get_state(pointer.state, self.bucket, self._keyring)
                if state is None:
                    return []
                self._drop_unwanted(state)
                wanted = [name for name, files in state.folders.items() if not self._is_here(name, files)]
                failures: list[StoreError | Tampered] = []
                for name in wanted:
                    try:
                        self._fetch(name, state.folders[name])
                    except (StoreError, Tampered) as error:
                        # one that is too large for the disk, or gone, keeps no other away
                        failures.append(error)
                if failures:
                    raise failures[0]
                return wanted
        except BlockingIOError:
            return []

    def _is_here(self, name: str, files: dict[str, PublishedObject]) -> bool:
        folder = self._home / name
        card = _bytes_of(folder / CARD)
        wanted = files.get(CARD)
        return wanted is None or (card is not None and hashlib.sha256(card).hexdigest() == wanted.sha256)

    def _fetch(self, name: str, files: dict[str, PublishedObject]) -> None:
        folder = inside(self._home, name)
        coming = self._home / OBJECTS / _COMING / os.urandom(6).hex()
        try:
            for path, found in files.items():
                get_file(found, self.bucket, self._keyring, inside(coming, path))
            write_atomic(self._home / OBJECTS / _FETCHED / quote(name, safe=""), b"")
            make_folder(folder.parent)
            if folder.exists():
                folder.rename(coming.with_name(f"{coming.name}-before"))
            coming.rename(folder)
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(coming, ignore_errors=True)
            shutil.rmtree(coming.with_name(f"{coming.name}-before"), ignore_errors=True)

    def _drop_unwanted(self, state: PublishedState) -> None:
        """Deletes fetched folders that no route has any more: an erased specialist goes everywhere."""
        for mark in (self._home / OBJECTS / _FETCHED).glob("*"):
            name = unquote(mark.name)
            if name not in state.folders and not mark.name.startswith("."):
                shutil.rmtree(inside(self._home, name), ignore_errors=True)
                mark.unlink(missing_ok=True)

    # --- publishing ---

    def sending_first(self, work: Callable[[], T]) -> T:
        """Does `work`, which takes locks and calls `change`; again, once they are given back and what it was about to
        publish has been sent, where that was not there yet. So whatever is small and urgent never waits for a large
        file.

        Raises:
            StoreError: it could not be sent, or from `work`; nothing has changed then.
        """
        for _ in range(_ATTEMPTS):
            try:
                return work()
            except NotSent as missing:
                self._sent.send(missing.names)
        raise StoreError(f"What is published to {self.bucket.address} changes all the time; try again.")

    def change(self, work: Callable[[], T], *, begins_again: bool = False) -> T:
        """Does `work`, which publishes once and writes here afterwards, on top of the newest version; again where
        another home was faster.

        Args:
            work: the change.
            begins_again: where no version is there, this home's own files are what it is made on top of, although there
                were versions before.

        Raises:
            StoreError, Tampered: as `look`, or from `work`; what it was to change is unchanged.
            NotSent: it names folders that are not sent yet, see `sending_first`; nothing has changed.
        """
        self._published = None
        for _ in range(_RACES):
            # given back after each race that was lost: gateways of this home look at the pointer meanwhile
            with locked(self._home / "published"):
                self._catch_up_or_begin(begins_again)
                self._published = None
                try:
                    done = work()
                except PublishedMeanwhile:
                    continue
                if self._published is not None:
                    pointer, sha256 = self._published
                    self._note(pointer.version, sha256)
                return done
        raise StoreError(f"Other homes publish to {self.bucket.address} all the time; try again.")

    def _catch_up_or_begin(self, begins_again: bool) -> None:
        if (begins_again or not self.version) and not self._versions():
            # numbers go on, and the next pointer names the last one known: homes that know as much follow without a
            # word
            self._base = VersionPointer(version=self.version)
            self._state = PublishedState(
                routes=_bytes_of(self._routes_path) or b"", keys=_bytes_of(self._keys_path) or b""
            )
            return
        self._catch_up()

    def publish_missing(self, *, begins_again: bool = False) -> int:
        """Publishes what this home has and the newest version lacks: everything for the first time, else specialists
        whose files were not there when their routes were published, or whose objects are gone.

        Args:
            begins_again: everything also where an object store that had versions has none any more, or the address is
                another.

        Returns:
            The newest version.

        Raises:
            StoreError, Tampered: as `change`.
        """

        def work() -> int:
            there = {f"{OBJECTS}/{name}" for name in self.bucket.names(OBJECTS)}
            whole = {
                name: files
                for name, files in self._state.folders.items()
                if all(found.name in there for found in files.values())
                or _bytes_of(self._home / name / CARD) is None
            }
            runs = {
                name: files
                for name, files in self._state.runs.items()
                if all(found.name in there for found in files.values())
            }
            lost_runs = len(runs) < len(self._state.runs)
            self._state = msgspec.structs.replace(self._state, folders=whole, runs=runs)
            is_missing = lost_runs or self._folders(self._state).keys() - whole.keys()
            return self.publish() if is_missing or not self._base.state.name else self._base.version

        return self.sending_first(lambda: self.change(work, begins_again=begins_again))

    def publish(
        self,
        *,
        routes: bytes | None = None,
        keys: bytes | None = None,
        runs: Mapping[str, dict[str, PublishedObject]] = MappingProxyType({}),
        exports: Mapping[str, PublishedExport] = MappingProxyType({}),
    ) -> int:
        """Publishes the next version, inside `change`; what is not given stays as it is.

        Returns:
            The version.

        Raises:
            PublishedMeanwhile: another home was faster.
            StoreError: it could not be published; where the object store went away meanwhile, it may have been.
        """
        state = msgspec.structs.replace(
            self._state,
            routes=self._state.routes if routes is None else routes,
            keys=self._state.keys if keys is None else keys,
            runs=dict(sorted({**self._state.runs, **runs}.items())[-KEPT_RUNS:]),
        )
        folders = self._folders(state)
        exported, closed = {**self._state.exports, **exports}, closed_in(state)
        kept = {n: one for n, one in exported.items() if one.specialist in folders.keys() - closed}
        state = msgspec.structs.replace(state, folders=folders, exports=kept)
        pointer = VersionPointer(
            version=self._base.version + 1,
            previous=self._noted()[1] if self._base.version else "",
            state=put_state(state, self.bucket, self._keyring),
            at=time.time(),
        )
        blob = sealed_pointer(pointer, self._keyring)
        self._published = pointer, digest(blob)
        try:
            is_out = self.bucket.create(pointer_name(pointer.version), blob)
        except StoreError as error:
            raise StoreError(
                f"{error} Whether version {pointer.version} was published cannot be told: if it was, this home takes it over too."
            ) from error
        if not is_out:
            self._published = None
            self.bucket.remove(pointer.state.name)
            raise PublishedMeanwhile(f"Version {pointer.version} was published by another home.")
        self._sent.settle(state.folders)
        try:
            self._sweep(pointer, state)
        except StoreError as error:
            _log.warning("What is published no more could not be deleted yet: %s", error)
        return pointer.version

    def _folders(self, state: PublishedState) -> dict[str, dict[str, PublishedObject]]:
        """The specialists of the routes. Raises NotSent where some are new."""
        if not state.routes:
            return {}
        file, _ = parse_routes(self._routes_path, state.routes)
        found: dict[str, dict[str, PublishedObject]] = {}
        missing: list[str] = []
        for name in specialists_of(file):
            before, card = state.folders.get(name), _bytes_of(self._home / name / CARD)
            sha256 = "" if card is None else hashlib.sha256(card).hexdigest()
            if card is None or (before is not None and CARD in before and before[CARD].sha256 == sha256):
                found |= {name: before} if before is not None else {}
            elif (sent := self._sent.of(name, sha256)) is not None:
                found[name] = sent
            else:
                missing.append(name)
        if missing:
            raise NotSent(missing)
        return found

    def _sweep(self, pointer: VersionPointer, state: PublishedState) -> None:
        """Deletes what only the version before named, what a dead publisher left, and the oldest pointers."""
        wanted = state.objects()
        dropped = self._state.objects() - wanted | {self._base.state.name} - {""}
        wanted.add(pointer.state.name)
        there = {f"{OBJECTS}/{name}" for name in self.bucket.names(OBJECTS)}
        for name in dropped | {name for name in there - wanted if age_s(name) > _ORPHAN_S}:
            self.bucket.remove(name)
        # all of them, for a publisher that was killed before it came here has left one
        for version in self._versions():
            if version <= pointer.version - KEPT_POINTERS:
                self.bucket.remove(pointer_name(version))


def inside(folder: Path, name: str) -> Path:
    """A path below a folder. Raises Tampered where it leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise Tampered(f"{name!r} leads out of {folder}: it is not fetched.")
    return folder / path


def _bytes_of(path: Path) -> bytes | None:
    """The content of a file, None where there is none. Raises StoreError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
