"""SQLite's errors as the errors of this package, in sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deputize.core.errors import StoreError, Tampered


@contextmanager
def errors_in_words(path: Path, busy_timeout_s: float) -> Iterator[None]:
    """SQLite's errors as sentences."""
    try:
        yield
    except sqlite3.Error as error:
        raise in_words(error, path, busy_timeout_s) from error


def in_words(error: sqlite3.Error, path: Path, busy_timeout_s: float) -> StoreError:
    """The error of deputize.core.errors that an SQLite error means for the user."""
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            what = "the disk is full. Nothing of this batch was written; what was there before is intact"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            what = f"another program has held it locked for more than {busy_timeout_s:g} s"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Tampered(
                f"{path} is damaged or not a store. Restore it from a backup, or move it away to start again."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            what = "it cannot be opened for writing; look at the owner and mode of the file and its folder"
        case sqlite3.SQLITE_IOERR:
            what = "the disk refused to read or write (full, over a quota, or failing)"
        case 0 if isinstance(error, sqlite3.OperationalError):
            # the module's own complaint, not SQLite's: a column holds text that is none
            return Tampered(
                f"{path} was changed by another program: a column is not of the form that was written."
            )
        case _:
            what = f"{type(error).__name__}, SQLite code {code}"
    return StoreError(f"The store {path} cannot be used now: {what}.")
