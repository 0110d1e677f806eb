"""SQLite's errors in sentences."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from deputize.core.errors import StoreError, Tampered
from deputize.store.sqlite_errors import errors_in_words, in_words


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (sqlite3.SQLITE_FULL, StoreError, "the disk is full"),
        (sqlite3.SQLITE_BUSY, StoreError, "locked for more than 3 s"),
        (sqlite3.SQLITE_CORRUPT, Tampered, "damaged or not a store"),
        (sqlite3.SQLITE_READONLY, StoreError, "cannot be opened for writing"),
        (sqlite3.SQLITE_MISUSE, StoreError, "SQLite code"),
    ],
)
def test_a_code_becomes_a_sentence(code: int, kind: type[Exception], said: str) -> None:
    error = sqlite3.Error("x")
    error.sqlite_errorcode = code
    found = in_words(error, Path("store.db"), 3.0)
    assert type(found) is kind and said in str(found)


def test_what_fails_inside_is_raised_in_words() -> None:
    with pytest.raises(StoreError, match=r"store\.db"), errors_in_words(Path("store.db"), 1.0):
        raise sqlite3.DatabaseError("no")
