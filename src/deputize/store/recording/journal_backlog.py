"""How much of a home's journals is not known to be in the store yet, as its files tell; no key is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class JournalBacklog(msgspec.Struct, frozen=True):
    """Journal files of a machine, an upper bound of what it is behind: a running gateway removes one a second after its
    last call."""

    n_files: int = 0
    n_bytes: int = 0
    oldest_s: float | None = None
    """Unix time of the last write to the file that waits longest; None where there is none."""


def backlog_of(folders: Sequence[Path]) -> JournalBacklog:
    """The backlog of a home's journal folders; a file that goes meanwhile does not count."""
    sizes: list[int] = []
    times: list[float] = []
    for path in [p for f in folders if f.is_dir() for p in f.glob("*.journal")]:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        sizes.append(found.st_size)
        times.append(found.st_mtime)
    return JournalBacklog(n_files=len(sizes), n_bytes=sum(sizes), oldest_s=min(times, default=None))
