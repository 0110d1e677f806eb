"""The files of specialists in memory, on their way to another machine and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from deputize.core.artifacts import Specialist

Files: TypeAlias = Mapping[str, bytes]
"""Path in a folder -> content."""


def pack(home: Path, specialists: Iterable[Specialist]) -> dict[str, Files]:
    """The files of specialists by their folders relative to the home."""
    return {
        one.path: {
            str(path.relative_to(home / one.path)): path.read_bytes()
            for path in sorted((home / one.path).rglob("*"))
            if path.is_file()
        }
        for one in specialists
    }


def unpack(folder: Path, files: Files) -> None:
    """Writes a folder whole or not at all; one that is there is replaced."""
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, content in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
