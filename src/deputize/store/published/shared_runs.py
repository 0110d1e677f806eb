"""Runs in the object store: reports, settings and sealed artifacts, for the homes that share it.

A run is shared by its home when it ends, and again when its files change: after an erasure, or under a new wrapping
key. The artifacts are sealed with the run's own key as they lie in the home, and once more as objects. Specialists go
with their routes.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from deputize.core.errors import BadInput, StoreError
from deputize.files import locked, make_folder, write_atomic
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.published_home import PublishedHome, inside
from deputize.store.published.sealed_objects import OBJECTS, get_file, put_file
from deputize.store.published.sending import Folder

_log = logging.getLogger("deputize.store")

STATE = "run.json"
"""The file that makes a folder a run."""
_MARKS = "fetched-runs"
"""Folder with an empty file for each run that was fetched: it may be fetched again, and one of this home's own may
not."""
_COMING = "coming-run"
"""Folder of the run that is being fetched."""
_BLOCK = 1 << 20


class SharedRuns:
    """The runs of a home that shares them with others."""

    def __init__(self, home: Path, keyring: KeyRing, audit: AuditLog, published: PublishedHome) -> None:
        self._home, self._keyring, self._audit, self._published = home, keyring, audit, published

    def names(self) -> list[str]:
        """Shared runs, oldest first. Raises StoreError, Tampered as `PublishedHome.look`."""
        return sorted(self._published.state().runs)

    def share(self, run_id: str) -> bool:
        """Shares a run of this home as its files are now; only those that differ are sent, with no lock held.

        Returns:
            False where nothing had changed.

        Raises:
            StoreError, Tampered: it could not be shared; the other homes have what they had.
        """
        known = self._published.state().runs.get(run_id, {})
        files = self._sent(run_id, known)
        if files == known:
            return False
        try:
            self._publish(lambda: self._published.publish(runs={run_id: files}))
        except BaseException:
            if not self._published.may_be_out:
                self._remove({name: one for name, one in files.items() if known.get(name) != one})
            raise
        self._audit.append("run.share", subject=run_id)
        return True

    def share_again(self) -> list[str]:
        """Shares those of the shared runs that are here and have changed; returns them. Raises as `share`."""
        here = [run_id for run_id in self.names() if (self._home / "runs" / run_id / STATE).exists()]
        return [run_id for run_id in here if self.share(run_id)]

    def _publish(self, work: Callable[[], int]) -> None:
        self._published.sending_first(lambda: self._published.change(work))

    def _sent(self, run_id: str, known: Folder) -> Folder:
        """The files of a run as objects, those that differ from the known ones sent now."""
        found: Folder = {}
        try:
            for path in sorted((self._home / "runs" / run_id).iterdir()):
                if not path.is_file() or path.name.startswith(".") or path.suffix == ".lock":
                    continue
                before = known.get(path.name)
                if before is not None and before.sha256 == _sha256(path):
                    found[path.name] = before
                else:
                    found[path.name] = put_file(path, self._published.bucket, self._keyring)
        except OSError as error:
            raise StoreError(f"The run {run_id} cannot be read: {error.strerror or error}.") from error
        if STATE not in found:
            raise StoreError(f"There is no run {run_id} in {self._home}.")
        return found

    def _remove(self, files: Folder) -> None:
        try:
            for one in files.values():
                self._published.bucket.remove(one.name)
        except StoreError as error:
            _log.warning("What was sent in vain could not be deleted yet: %s", error)

    def fetch(self, run_id: str = "") -> str:
        """Brings a shared run into this home, as if it had been made here, without the specialists that no route has.

        Args:
            run_id: the run; "": the newest that is shared.

        Returns:
            The run.

        Raises:
            BadInput: it is not shared, or a run of this home's own has its name.
            StoreError, Tampered: it could not be fetched; nothing has changed.
        """
        runs = self._published.state().runs
        run_id = run_id or max(runs, default="")
        if run_id not in runs:
            there = ", ".join(sorted(runs)) or "none"
            raise BadInput(
                f"There is no shared run {run_id!r} in {self._published.bucket.address}; there are: {there}."
            )
        folder, mark = inside(self._home / "runs", run_id), self._home / OBJECTS / _MARKS / run_id
        if (folder / STATE).exists() and not mark.exists():
            raise BadInput(f"The run {run_id} in {folder} is this home's own: nothing is fetched over it.")
        coming = self._home / OBJECTS / _COMING
        make_folder(self._home / OBJECTS)
        with locked(self._home / OBJECTS / "fetch-run"):
            shutil.rmtree(coming, ignore_errors=True)  # of a command that was killed
            try:
                for name, found in runs[run_id].items():
                    get_file(found, self._published.bucket, self._keyring, inside(coming, name))
                make_folder(folder)
                write_atomic(mark, b"")
                for name in sorted(runs[run_id], key=lambda name: (name == STATE, name)):
                    (coming / name).replace(folder / name)
            except OSError as error:
                raise StoreError(f"{folder} cannot be written: {error.strerror or error}.") from error
            finally:
                shutil.rmtree(coming, ignore_errors=True)
        self._audit.append("run.fetch", subject=run_id)
        return run_id


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_BLOCK):
            found.update(part)
    return found.hexdigest()
