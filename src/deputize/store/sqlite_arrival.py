"""A store.db that comes from another store: filled under another name, and given its own when the other store has been
left.

So a home never shows a store.db that is behind: a move that was killed left either the other store in force, or all
that is needed to end the move (`end_arrival`). Which move filled a file stands in it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from deputize.core.errors import StoreError
from deputize.files import reason, sync_folder
from deputize.store.sql import load_queries
from deputize.store.sqlite_errors import errors_in_words

_SQL = load_queries("sqlite")
_WAIT_S = 1.0
_ENDINGS = ("", "-wal", "-shm", "-journal")
"""Of SQLite's own files."""


def arrival_of(path: Path) -> Path:
    """The file that is filled before it becomes `path`."""
    return path.with_name(f"{path.name}.arriving")


def check_arrived(path: Path) -> None:
    """Raises StoreError where a move into `path` was not ended: an empty store in its place would hide that."""
    if not path.exists() and arrival_of(path).exists():
        raise StoreError(
            f"A move of calls into {path} was not ended: name the store in PostgreSQL in config.toml again and repeat `deputize "
            f"store migrate --to sqlite`, or delete {arrival_of(path)} where its calls are not wanted."
        )


def begin_arrival(path: Path) -> Path:
    """Makes room for a store that becomes `path`; what a move that was killed had filled is removed.

    Returns:
        The file to fill.

    Raises:
        StoreError: there is a store at `path`, or the folder cannot be written.
    """
    if path.exists():
        raise StoreError(
            f"{path} is there already, and nothing is moved over it. Where its calls were moved away before, delete it together "
            f"with {path.name}-wal and {path.name}-shm, else move it away; then try again."
        )
    arriving = arrival_of(path)
    try:
        for ending in _ENDINGS:
            arriving.with_name(arriving.name + ending).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{arriving} cannot be removed: {reason(error)}.") from error
    return arriving


def mark_arrival(path: Path, move: str) -> None:
    """Notes in a filled file, which nobody has open, by which move it was; all of it is in the one file then.

    Raises:
        StoreError: it cannot be written, or SQLite left a part of it in a file beside.
    """
    arriving = arrival_of(path)
    with errors_in_words(arriving, _WAIT_S), closing(sqlite3.connect(arriving, timeout=_WAIT_S)) as db:
        with db:
            db.execute(_SQL["set_meta"], ("arrived", move))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log = arriving.with_name(arriving.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(f"{arriving} is open in another program: close it and try again.")


def end_arrival(path: Path, move: str) -> bool:
    """Gives the file that a move has filled its name; True also where it has that name already, False where there is
    none.

    Raises:
        StoreError: there is another store at `path`, or the folder cannot be written.
    """
    if _mark_of(path) == move:
        return True
    arriving = arrival_of(path)
    if _mark_of(arriving) != move:
        return False
    if path.exists():
        raise StoreError(f"{path} is there already: move it away and try again.")
    try:
        arriving.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {reason(error)}.") from error
    return True


def departed_to(path: Path) -> str:
    """The store that the calls of a file were moved to; "" where they are there, or there is no file."""
    return _mark_of(path, "moved")


def _mark_of(path: Path, name: str = "arrived") -> str:
    """The mark of a move in a file, by default of the one that filled it; "" where there is none."""
    if not path.exists():
        return ""
    with errors_in_words(path, _WAIT_S), closing(sqlite3.connect(path, timeout=_WAIT_S)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return ""
        found = db.execute(_SQL["get_meta"], (name,)).fetchone()
    return "" if found is None else str(found[0])
