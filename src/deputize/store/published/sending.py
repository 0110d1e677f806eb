"""Files that are sent ahead of the version that names them, while no lock is held: a route can be closed meanwhile."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from deputize.core.errors import StoreError
from deputize.files import reason
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.buckets import Bucket
from deputize.store.published.sealed_objects import put_file
from deputize.store.published.version_pointer import PublishedObject

_log = logging.getLogger("deputize.store")

Folder = dict[str, PublishedObject]
"""Files of a folder, by their paths in it."""


class NotSent(StoreError):
    """A version is to name folders whose files are not in the object store yet."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(f"The files of {', '.join(sorted(names))} are not in the object store yet.")
        self.names = sorted(names)


class SentFolders:
    """Folders of a home that were sent and that no version names yet, each as it was by one of its files. Safe to share
    between threads; two that need one folder send it once."""

    def __init__(self, home: Path, bucket: Bucket, keyring: KeyRing, card: str) -> None:
        """
        Args:
            home: the home folder.
            bucket: where to.
            keyring: keys of the objects.
            card: the file of a folder that pins the others.
        """
        self._home, self._bucket, self._keyring, self._card = home, bucket, keyring, card
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, str], Folder] = {}

    def of(self, name: str, card_sha256: str) -> Folder | None:
        """The files that were sent of a folder as it is now; None: nothing was."""
        return self._sent.get((name, card_sha256))

    def send(self, names: Collection[str]) -> None:
        """Sends folders as they are now. Raises StoreError; what had been sent of a folder is removed then."""
        with self._lock:
            for name in names:
                try:
                    card = (self._home / name / self._card).read_bytes()
                except OSError as error:
                    raise StoreError(f"{self._home / name} cannot be read: {reason(error)}.") from error
                key = (name, hashlib.sha256(card).hexdigest())
                if key not in self._sent:
                    self._sent[key] = self._send(self._home / name)

    def _send(self, folder: Path) -> Folder:
        sent: Folder = {}
        try:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    sent[path.relative_to(folder).as_posix()] = put_file(path, self._bucket, self._keyring)
        except BaseException:
            self._remove(sent)
            raise
        return sent

    def settle(self, named: Mapping[str, Folder]) -> None:
        """After a version was published: forgets the folders that it names, and removes what was sent of them in vain,
        since another home was faster."""
        for key in [key for key in self._sent if key[0] in named]:
            files = self._sent.pop(key)
            if named[key[0]] != files:
                self._remove(files)

    def _remove(self, files: Folder) -> None:
        """Removes objects; those that cannot be removed now are in a day, as those of a killed publisher."""
        try:
            for found in files.values():
                self._bucket.remove(found.name)
        except StoreError as error:
            _log.warning("What was sent in vain could not be deleted yet: %s", error)
