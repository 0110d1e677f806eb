"""Changing keys: a new KEK or wrapping key, with every data key wrapped again and no payload rewritten."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deputize.core.errors import StoreError
from deputize.files import reason
from deputize.store.access.audit_log import AuditLog
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.providers import FileKek, KeyProvider
from deputize.store.keys.run_keys import rewrap_run_keys
from deputize.store.sessions import existing_sessions


class Rotated(msgspec.Struct, frozen=True):
    """What a rotation did."""

    generation: str
    kek_id: str
    n_data_keys: int
    warnings: tuple[str, ...] = ()


def rotate(
    home: Path,
    keyring: KeyRing,
    store: Store,
    *,
    provider: KeyProvider | None = None,
    actor: str = "",
    audit: AuditLog | None = None,
) -> Rotated:
    """Replaces KEK and wrapping key, wraps all data keys again, destroys the old keys. Others may write meanwhile.

    Stopped half-way nothing is lost: both generations stay until all is wrapped, and the next rotation finishes it.

    Args:
        home: the home folder.
        keyring: its ring.
        store: its store.
        provider: who holds the KEK from now on. Default: a fresh key file where the KEK is in a file now, else the
            provider there is (a key service rotates its own key; the wrapping key is replaced all the same).
        actor: who asked for it.
        audit: where it is logged.

    Raises:
        StoreError: the key service, the disk or the store refuses.
    """
    with _only_one(home / "keys" / "rotation.lock"):
        keyring.reload()
        return _rotate(home, keyring, store, provider, actor, audit)


def fresh_file() -> str:
    """A name for a new key file beside the old one."""
    return f"kek-{os.urandom(4).hex()}.key"


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError("Another rotation of these keys is under way.") from None
    finally:
        os.close(descriptor)


def _rotate(
    home: Path,
    keyring: KeyRing,
    store: Store,
    provider: KeyProvider | None,
    actor: str,
    audit: AuditLog | None,
) -> Rotated:
    old = keyring.provider
    if provider is None and isinstance(old, FileKek):
        provider = FileKek(home / "keys" / fresh_file(), create=True, relative_to=home / "keys")
    if audit is not None:
        audit.append("keys.rotate", actor=actor, subject=keyring.id, detail={"from": old.key_id})
    generation = keyring.begin_rotation(provider)
    n_data_keys = store.rewrap() + rewrap_run_keys(home, keyring) + _rewrap_sessions(home, keyring)
    keyring.end_rotation()
    warnings: tuple[str, ...] = ()
    if provider is not None and isinstance(old, FileKek) and old.spec() != provider.spec():
        warnings = _destroy(old.path)
    return Rotated(
        generation=generation, kek_id=keyring.provider.key_id, n_data_keys=n_data_keys, warnings=warnings
    )


def _rewrap_sessions(home: Path, keyring: KeyRing) -> int:
    sessions = existing_sessions(home, keyring)
    if sessions is None:
        return 0
    try:
        return sessions.rewrap()
    finally:
        sessions.close()


def _destroy(path: Path) -> tuple[str, ...]:
    """Overwrites a key file and removes it; a warning where that does not work (it has no use any more either way)."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        return (f"The old key file {path} could not be removed ({reason(error)}); remove it by hand.",)
    return ()
