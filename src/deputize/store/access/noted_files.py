"""Files of a home that commands write and that steer it, in clear: the newest version of each is known to the audit
log.

As with settings (store.access.accepted_config), another version is refused in a home that people share, which is one
that has had API keys. In a home without keys its one user is at work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deputize.core.errors import Tampered
from deputize.files import coming, put_in_place, read_noted, write_atomic
from deputize.store.access.audit_log import AuditEntry, AuditLog


class NotedFiles:
    """Notes versions of files by their digest, and refuses others."""

    def __init__(self, home: Path, audit: Callable[[], AuditLog], is_shared: Callable[[], bool]) -> None:
        """
        Args:
            home: the home folder.
            audit: its audit log; called when it is needed.
            is_shared: True where people share the home.
        """
        self._home, self._audit, self._is_shared = home, audit, is_shared

    def note(self, path: Path, data: bytes) -> None:
        """Notes the version of a file that is in force from now on. Raises StoreError where the log cannot be
        written."""
        name = self._name(path)
        self._audit().append("file.write", subject=name, detail={"file": name, "sha256": _digest(data)})

    def write(self, path: Path, data: bytes) -> None:
        """Notes and writes a version; killed at any moment, `read` gives the old one or this one.

        Raises:
            StoreError: it cannot be written, or the log cannot.
        """
        write_atomic(coming(path), data)
        self.note(path, data)
        put_in_place(path)

    def read(self, path: Path, remedy: str) -> bytes:
        """The bytes of a file that `write` wrote.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
            Tampered: as `check`.
        """
        if not self._is_shared():
            return path.read_bytes()
        while True:
            noted = self._newest(path)
            data = read_noted(path, partial(_is_version, noted))
            if data is None:
                raise FileNotFoundError(path)
            if noted == self._newest(path):  # else others wrote while it was read
                self._check(path, data, noted, remedy)
                return data

    def check(self, path: Path, data: bytes, remedy: str) -> None:
        """Raises Tampered, with an entry of the audit log, where a home is shared and this is not the version noted
        last.

        Args:
            path: of the file.
            data: its bytes.
            remedy: a sentence: how to go on.
        """
        if self._is_shared():
            self._check(path, data, self._newest(path), remedy)

    def _check(self, path: Path, data: bytes, noted: AuditEntry | None, remedy: str) -> None:
        if _is_version(noted, data):
            if not (doubt := self._audit().doubt(noted)):
                return
            how = f"may be an older copy, for the audit log is not whole ({doubt})"
        else:
            how = "is not the one that a command wrote last"
        self._audit().append("denied", subject=self._name(path), detail={"why": f"the file {how}"})
        raise Tampered(f"{path} {how}, so it is not used. {remedy}")

    def _newest(self, path: Path) -> AuditEntry | None:
        """The entry about the version that was noted last."""
        return self._audit().latest("file", self._name(path))[1]

    def _name(self, path: Path) -> str:
        return path.relative_to(self._home).as_posix()


def _is_version(noted: AuditEntry | None, data: bytes) -> bool:
    return noted is not None and noted.detail.get("sha256") == _digest(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
