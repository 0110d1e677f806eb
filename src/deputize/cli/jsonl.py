"""Commands that read lines and write lines: reading texts or calls, writing JSONL."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from deputize.cli.terminal import Terminal
from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | Skip]]:
    """(line number, object) of a JSONL file, plain or gzip (told by its first bytes); a Skip for each line that is none.

    Raises:
        BadInput: the file cannot be read.
    """
    number = 0
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _row(line, path, number)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield (
            number + 1,
            Skip(file=path.name, line=number + 1, reason="the compressed data are damaged or cut off here"),
        )
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield gzip.GzipFile(fileobj=raw) if packed else raw


def _row(line: bytes, path: Path, number: int) -> dict[str, Any] | Skip:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Skip(file=path.name, line=number, reason="not JSON")
    return value if isinstance(value, dict) else Skip(file=path.name, line=number, reason="not a JSON object")


class RowWriter:
    """Writes rows as JSON lines as they come, or keeps them for the one document that --json asks for."""

    def __init__(self, terminal: Terminal, source: Path) -> None:
        self._terminal, self._source = terminal, source
        self._rows: list[Any] = []
        self._skipped: list[Skip] = []
        self._n_rows = 0

    def row(self, row: Any) -> None:
        """One line of the result."""
        self._n_rows += 1
        if self._terminal.json:
            self._rows.append(row)
        else:
            self._terminal.say(msgspec.json.encode(row).decode())

    def skip(self, skip: Skip) -> None:
        """One line of the source that could not be read."""
        self._skipped.append(skip)

    def end(self) -> None:
        """Says what was skipped.

        Raises:
            BadInput: there was not one line that could be read.
        """
        if not self._n_rows:
            first = (
                f" First line that could not be read: line {self._skipped[0].line}: {self._skipped[0].reason}."
                if self._skipped
                else ""
            )
            raise BadInput(f"There is nothing to read in {self._source}.{first}")
        for skip in self._skipped[:5]:
            self._terminal.note(f"skipped {skip.file}:{skip.line}: {skip.reason}")
        if len(self._skipped) > 5:
            self._terminal.note(f"... and {len(self._skipped) - 5} more lines skipped")
        if self._terminal.json:
            skipped = [{"file": s.file, "line": s.line, "reason": s.reason} for s in self._skipped]
            self._terminal.result({"rows": self._rows, "skipped": skipped}, lambda: None)
