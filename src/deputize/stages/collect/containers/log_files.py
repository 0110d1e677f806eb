"""Where logs are read from: files, folders with subfolders, standard input, and object stores through fsspec."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from deputize.core.errors import BadInput, MissingExtra
from deputize.stages.collect.containers.decompress import read_some

STDIN = "-"
FIRST = ("scores", "traces", "requests")
"""Folders read before those next to them: what they hold belongs to records of the others."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of a log, not opened yet."""

    name: str
    """For messages: its path below the folder that was named, else its name."""
    open: Callable[[], BinaryIO]
    """Raises OSError where it cannot be opened."""
    named: bool = True
    """The user named it, so that it is said when it holds no log; False: it was found in a folder."""
    address: str = ""
    """The path or address as it was given, for error messages."""


@dataclass(slots=True)
class LogFiles:
    """The files behind the paths that a user named."""

    files: list[LogFile] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    """Names in folders that begin with a dot, which are not read."""


def find_log_files(paths: Iterable[Path | str]) -> LogFiles:
    """All files behind paths: a folder stands for the files in it and in its subfolders, in the order of their names.

    A link to a folder is followed once, hidden files and folders are not read.

    Args:
        paths: files, folders, "-" for standard input, or addresses such as s3://bucket/folder.

    Raises:
        BadInput: a path does not exist or cannot be read, or a folder holds no file.
        MissingExtra: an address needs a package that is not installed.
    """
    found = LogFiles()
    for path in paths:
        text = str(path)
        if text == STDIN:
            found.files.append(LogFile("standard input", _standard_input, address=STDIN))
        elif "://" in text:
            found.files += _remote_files(text)
        elif Path(text).is_dir():
            _add_folder(found, Path(text))
        else:
            found.files.append(_local(Path(text), Path(text).name, named=True))
    return found


def shown_name(name: str) -> str:
    """The name of a file as it can be printed and stored: bytes that are no UTF-8 and control signs are written out."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def check_readable(file: LogFile) -> None:
    """Raises BadInput where a file cannot be opened. Standard input and pipes are left alone, since a look eats
    bytes."""
    if file.address == STDIN or (Path(file.address).exists() and not Path(file.address).is_file()):
        return
    with open_log(file) as stream:
        try:
            stream.read(1)
        except OSError as error:
            raise BadInput(_unreadable(file, error)) from error


def open_log(file: LogFile) -> BinaryIO:
    """The bytes of a file.

    Raises:
        BadInput: it cannot be opened.
    """
    try:
        return file.open()
    except FileNotFoundError:
        raise BadInput(f"{shown_name(file.address)} does not exist.") from None
    except OSError as error:
        raise BadInput(_unreadable(file, error)) from error


def _unreadable(file: LogFile, error: OSError) -> str:
    return f"{shown_name(file.address)} cannot be read: {(error.strerror or str(error)).rstrip('.')}."


def _standard_input() -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, _Unclosable(sys.stdin.buffer))))


class _Unclosable(io.RawIOBase):
    """A stream that stays open when its reader is closed."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = read_some(self._inner, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _local(path: Path, name: str, *, named: bool) -> LogFile:
    return LogFile(shown_name(name), lambda: path.open("rb"), named, str(path))


def _add_folder(found: LogFiles, folder: Path) -> None:
    seen: set[tuple[int, int]] = set()
    before = len(found.files)

    def walk(here: Path, prefix: str) -> None:
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        for entry in sorted(os.scandir(here), key=lambda e: (e.name not in FIRST, os.fsencode(e.name))):
            name = f"{prefix}{entry.name}"
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:
                continue  # a link that leads back to itself
            if entry.name.startswith("."):
                found.hidden.append(shown_name(name))
            elif is_folder:
                walk(Path(entry.path), f"{name}/")
            elif is_file:
                found.files.append(_local(Path(entry.path), name, named=False))

    try:
        walk(folder, "")
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror or error}.") from error
    if len(found.files) == before:
        raise BadInput(f"The folder {folder} holds no log: there is no file in it or in its subfolders.")


def _remote_files(address: str) -> list[LogFile]:
    """The files at an address of an object store, or below it."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtra.package("fsspec", "cloud") from None
    try:
        store, root = fsspec.core.url_to_fs(address)
        below = sorted(store.find(root))
    except ImportError as error:  # fsspec names the driver that is missing
        raise MissingExtra.package(f"The driver of {address.split('://')[0]}://", "cloud") from error
    except ValueError as error:
        raise BadInput(f"{address} cannot be read: {error}.") from error
    except OSError as error:
        raise BadInput(f"{address} cannot be read: {error.strerror or type(error).__name__}.") from error
    if not below:
        raise BadInput(f"{address} does not exist or holds no file.")

    def opener(place: str) -> Callable[[], BinaryIO]:
        return lambda: cast(BinaryIO, store.open(place, "rb"))

    shown = {place: place.removeprefix(root).lstrip("/") or place.rsplit("/", 1)[-1] for place in below}
    return [
        LogFile(shown_name(name), opener(place), place == root, f"{address.split('://')[0]}://{place}")
        for place, name in shown.items()
    ]
