"""Files that are either the old or the new one, never half of each."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from deputize.core.errors import StoreError


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes `data` to `path` so that a reader, a crash or a full disk never meets a part of it.

    Raises:
        StoreError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself must survive a power cut
        finally:
            os.close(folder)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
        raise StoreError(f"{path} could not be written: {why}. What was there before is unchanged.") from error
