"""JSON lines as the output of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from deputize.cli.terminal import Terminal
from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput


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
