"""Exports of specialists in the object store, sealed like everything there, for the homes that share it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deputize.core.errors import BadInput, StoreError
from deputize.files import make_folder
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.published_home import PublishedHome, inside
from deputize.store.published.sealed_objects import get_file, put_file
from deputize.store.published.version_pointer import PublishedExport, PublishedObject, closed_in


class SharedExports:
    """The exports of a home that shares them with others. One goes when the last route of its specialist
    goes or is closed."""

    def __init__(self, keyring: KeyRing, audit: AuditLog, published: PublishedHome) -> None:
        self._keyring, self._audit, self._published = keyring, audit, published

    def share(self, name: str, specialist: str, folder: Path) -> None:
        """Shares the folder of an export, in the place of one of the same name.

        Args:
            name: route and form.
            specialist: folder of the specialist, relative to the home.
            folder: the export.

        Raises:
            StoreError, Tampered: it could not be shared; the other homes have what they had.
            BadInput: the specialist is that of no published route, or its routes are closed.
        """
        state = self._published.state()
        if specialist not in state.folders:
            raise BadInput(
                f"{specialist} is the specialist of no route that is published, so its export is not shared."
            )
        if specialist in closed_in(state):
            raise BadInput(f"The route of {specialist} is closed, so its export is not shared.")
        files: dict[str, PublishedObject] = {}
        try:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                inner = path.relative_to(folder).as_posix()
                files[inner] = put_file(path, self._published.bucket, self._keyring)
            one = PublishedExport(specialist=specialist, files=files)
            self._published.sending_first(
                lambda: self._published.change(lambda: self._published.publish(exports={name: one}))
            )
        except BaseException:
            if not self._published.may_be_out:
                for found in files.values():
                    self._published.bucket.remove(found.name)
            raise
        self._audit.append("export.share", subject=name)

    def fetch(self, name: str, out: Path) -> None:
        """Writes a shared export into a new or empty folder; every file is checked.

        Args:
            name: route and form.
            out: the folder.

        Raises:
            BadInput: there is no such export, or the folder is not empty.
            StoreError, Tampered: it could not be fetched; nothing is left of it.
        """
        exports = self._published.state().exports
        if name not in exports:
            there = ", ".join(sorted(exports)) or "none"
            raise BadInput(
                f"There is no shared export {name!r} in {self._published.bucket.address}; there are: {there}."
            )
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise BadInput(f"{out} is not empty: name a new folder.")
        coming = out.with_name(f"{out.name}.coming-{os.urandom(4).hex()}")
        try:
            for path, found in exports[name].files.items():
                get_file(found, self._published.bucket, self._keyring, inside(coming, path))
            make_folder(out.parent)
            if out.exists():
                out.rmdir()
            coming.rename(out)
        except OSError as error:
            raise StoreError(f"{out} cannot be written: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(coming, ignore_errors=True)
        self._audit.append("export.fetch", subject=name)
