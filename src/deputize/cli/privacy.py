"""privacy: looking for personal data without a home, a store or a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from deputize.cli.lines import Written, read_rows
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.artifacts import Skip
from deputize.core.records import Call


@click.group()
def privacy() -> None:
    """Personal data in logs."""


@privacy.command("scan")
@click.argument("path", type=click.Path(path_type=Path))
@pass_terminal
def scan_file(terminal: Terminal, /, path: Path) -> None:
    """Name the personal data in PATH: JSONL of {"id", "text"} or of calls, plain or .gz; JSONL comes out.

    A call's spans say in which `part` of it they are. The values themselves are never printed.
    """
    from deputize.stages.curate.scan import scan, standard_detectors

    detectors = standard_detectors(strict=True)
    for warning in detectors.warnings:
        terminal.note(warning)
    written = Written(terminal, path)
    waiting: list[tuple[str, str | None]] = []
    current: dict[str, Any] | None = None
    for id, part, spans in _scanned(_texts(path, written.skip), waiting, lambda t: scan(t, detectors.all)):
        row = [
            {"type": s.type, "start": s.start, "end": s.end, "score": s.score, "detector": s.detector}
            for s in spans
        ]
        if part is None:
            written.row({"id": id, "spans": row})
            continue
        if current is None or current["id"] != id:
            if current is not None:
                written.row(current)
            current = {"id": id, "spans": []}
        current["spans"].extend({"part": part, **span} for span in row)
    if current is not None:
        written.row(current)
    written.end()


def _scanned(
    texts: Iterator[tuple[str, str | None, str]],
    waiting: list[tuple[str, str | None]],
    scan: Callable[[Iterator[str]], Iterator[Any]],
) -> Iterator[tuple[str, str | None, Any]]:
    """The spans of each text beside where it came from; the scan reads ahead, so places wait in `waiting`."""

    def only_texts() -> Iterator[str]:
        for id, part, text in texts:
            waiting.append((id, part))
            yield text

    for at, spans in enumerate(scan(only_texts())):
        yield *waiting[at], spans
        waiting[at] = ("", None)


def _texts(path: Path, skip: Callable[[Skip], None]) -> Iterator[tuple[str, str | None, str]]:
    """(id, part of a call or None, text) of every text in the file; its first object says what it holds."""
    first = next((row for _, row in read_rows(path) if isinstance(row, dict)), None)
    if first is not None and ("messages" in first or "text" not in first):
        yield from _call_texts(path, skip)
        return
    for number, row in read_rows(path):
        if isinstance(row, Skip):
            skip(row)
        elif isinstance(row.get("text"), str):
            yield str(row.get("id", number)), None, row["text"]
        else:
            skip(Skip(file=path.name, line=number, reason="no text"))


def _call_texts(path: Path, skip: Callable[[Skip], None]) -> Iterator[tuple[str, str | None, str]]:
    from deputize.stages.collect.importers import read_calls
    from deputize.stages.curate.texts import message_strings

    for item in read_calls(path):
        if isinstance(item, Skip):
            skip(item)
            continue
        call: Call = item
        empty = True
        for number, message in enumerate([*call.messages, call.response]):
            part = f"messages[{number}]" if number < len(call.messages) else "response"
            for text in message_strings(message):
                empty = False
                yield call.id, part, text
        if empty:
            yield call.id, "response", ""
