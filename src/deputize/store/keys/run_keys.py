"""One key for the sealed artifacts of each run, wrapped like a data key: destroyed and replaced when a person is
erased.

    HOME/runs/RUN/run.key     the run's key, useless without the ring
    HOME/forgetting/RUN/      artifacts written again under a fresh key; they count once their own run.key lies with
    them

A run whose artifacts were written before there were such keys goes on with the ring's own key until it is rewritten.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import Record
from deputize.files import locked, reason, sync_folder, write_atomic, write_new
from deputize.store.keys.ciphers import KEY_BYTES, pack
from deputize.store.keys.keyring import KeyRing, Sealer

KEY_FILE = "run.key"


class RunKeyFile(Record, frozen=True):
    """HOME/runs/RUN/run.key."""

    wrapped_by: str
    wrapped: bytes
    version: int = 1


def run_key(folder: Path, keyring: KeyRing) -> Sealer:
    """The key of a run's artifacts, made on first use.

    Raises:
        Tampered: it was changed, or belongs to another run or home.
        StoreError: it cannot be read or written, or its wrapping key is gone.
    """
    finish_forgetting(folder)
    path = folder / KEY_FILE
    if not path.exists():
        if any(folder.glob("*.sealed")):
            return keyring
        with locked(_lock(folder.parent.parent)):
            keyring.reload()  # never under a wrapping key that a rotation is about to destroy
            write_new(path, _fresh(folder.name, keyring)[1])
    return _opened(path, folder.name, keyring)


def rewrap_run_keys(home: Path, keyring: KeyRing) -> int:
    """Wraps every run's key with the active wrapping key (see maintenance.rotation); returns how many."""
    n_keys = 0
    with locked(_lock(home)):
        for path in sorted((home / "runs").glob(f"*/{KEY_FILE}")):
            finish_forgetting(path.parent)
            file = _read(path)
            if file.wrapped_by != keyring.wrapping_id:
                aad = _aad(path.parent.name)
                by, wrapped = keyring.wrap(keyring.unwrap(file.wrapped_by, file.wrapped, aad), aad)
                write_atomic(path, msgspec.json.encode(RunKeyFile(wrapped_by=by, wrapped=wrapped)))
                n_keys += 1
    return n_keys


def rewrite(folder: Path, keyring: KeyRing, write: Callable[[Path, Sealer], None]) -> None:
    """Replaces all artifacts of a run by new ones under a fresh key; the old key is gone afterwards.

    Stopped at any point, either all the old ones hold or all the new ones.

    Args:
        folder: of the run.
        keyring: the ring.
        write: writes every artifact of the run into the folder it is given, with the key it is given. The folder has
            the run's name, for artifacts are bound to it.
    """
    finish_forgetting(folder)
    staging = _staging(folder)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True, mode=0o700)
    with locked(_lock(folder.parent.parent)):
        keyring.reload()
        secret, wrapped = _fresh(folder.name, keyring)
        write(staging, Sealer(secret))
        write_atomic(staging / KEY_FILE, wrapped)
        finish_forgetting(folder)


def finish_forgetting(folder: Path) -> None:
    """Moves what `rewrite` has written to its place, where it was stopped in between."""
    staging = _staging(folder)
    if not staging.exists():
        return
    try:
        if (staging / KEY_FILE).exists():
            for path in sorted(staging.glob("*.sealed")):
                path.replace(folder / path.name)
            sync_folder(folder)
            # last: while it lies here, the move is done again
            (staging / KEY_FILE).replace(folder / KEY_FILE)
            sync_folder(folder)
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"The artifacts of {folder} cannot be replaced now: {reason(error)}.") from error


def _lock(home: Path) -> Path:
    return home / "keys" / "runs"


def _staging(folder: Path) -> Path:
    return folder.parent.parent / "forgetting" / folder.name


def _fresh(run_id: str, keyring: KeyRing) -> tuple[bytes, bytes]:
    secret = os.urandom(KEY_BYTES)
    by, wrapped = keyring.wrap(secret, _aad(run_id))
    return secret, msgspec.json.encode(RunKeyFile(wrapped_by=by, wrapped=wrapped))


def _opened(path: Path, run_id: str, keyring: KeyRing) -> Sealer:
    file = _read(path)
    return Sealer(keyring.unwrap(file.wrapped_by, file.wrapped, _aad(run_id)))


def _read(path: Path) -> RunKeyFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunKeyFile)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}.") from error
    except msgspec.DecodeError as error:
        raise Tampered(f"{path} is not the key of a run; restore it from a backup.") from error


def _aad(run_id: str) -> bytes:
    return pack("run-key", run_id)
