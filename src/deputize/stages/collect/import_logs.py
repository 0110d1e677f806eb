"""Import of recorded logs into the store (stage S1).

What is no call is a Skip that says why, never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.core.import_summary import Imported, ImportedFile, SkipReason
from deputize.core.progress import Progress, silent
from deputize.core.recording_policy import Recording, recorded_part
from deputize.core.records import Audience, Call
from deputize.stages.collect.containers.log_files import LogFile, check_readable, find_log_files
from deputize.stages.collect.containers.log_objects import MAX_VALUE_BYTES, read_objects
from deputize.stages.collect.importers.base import Importer, Pseudonym, no_pseudonym
from deputize.stages.collect.importers.mapped import MappedImporter
from deputize.stages.collect.importers.registry import AUTO, importers_for
from deputize.stages.collect.log_reader import LogReader, ReadItem

if TYPE_CHECKING:
    from deputize.store.base import Store
    from deputize.store.keys.keyring import KeyRing

EVERYTHING = Recording()
BATCH_CALLS = 256
BATCH_BYTES = 8 * 2**20
KEPT_SKIPS = 100
KEPT_FILES = 1000


def read_calls(
    path: Path | str, format: str = AUTO, agent: str = "", *, pseudonym: Pseudonym = no_pseudonym
) -> Iterator[Call | Skip]:
    """The calls of one log in the order of its records, and a Skip for each that is none.

    Args:
        path: a file or folder of any kind that is read (see `containers`).
        format: the name of an importer, or "auto" (see importers.registry).
        agent: the agent's name for calls that carry none.
        pseudonym: turns the raw id of an end user into what may be stored; without it such ids are dropped.

    Raises:
        BadInput: the file cannot be opened or read.
        UsageError: there is no such format.
    """
    return read_calls_with(importers_for(format), path, agent, pseudonym=pseudonym)


def read_calls_with(
    importers: Sequence[Importer],
    path: Path | str,
    agent: str = "",
    *,
    pseudonym: Pseudonym = no_pseudonym,
    max_value_bytes: int = MAX_VALUE_BYTES,
) -> Iterator[Call | Skip]:
    """The same as `read_calls` for importers that are given: a single one reads every record, of several the first
    that recognises a record.

    Raises:
        BadInput: the file cannot be opened or read.
    """
    reader = LogReader(importers, agent, pseudonym)
    for file in find_log_files([path]).files:
        for found in read_objects(file, max_value_bytes=max_value_bytes):
            for read in reader.read(found):
                yield read.item
    for read in reader.finish():
        yield read.item


def import_paths(
    store: Store,
    keyring: KeyRing,
    paths: Iterable[Path | str],
    format: str = AUTO,
    agent: str = "",
    progress: Progress = silent,
    *,
    field_paths: Mapping[str, str] | None = None,
    audience: Audience = "unknown",
    recording: Recording = EVERYTHING,
    unpack_all: bool = False,
) -> Imported:
    """Appends the calls of every log to the store; importing the same log again adds nothing.

    A folder stands for the files in it and below it. All paths are looked at before anything is stored.

    Args:
        store: takes the calls.
        keyring: makes the pseudonyms of end users.
        paths: files, folders, "-" for standard input, or addresses such as s3://bucket/folder.
        format: the name of an importer, or "auto".
        agent: the agent's name for calls that carry none.
        progress: told how many calls have been read.
        field_paths: fields of a call -> where the user's own format has them; replaces the importers.
        audience: of calls that declare none.
        recording: what is kept of calls, by their tenant and site.
        unpack_all: unpack files however far they expand.

    Raises:
        BadInput: a path cannot be read, a packed file expands too far, or there is not one call in all of them. What
            was read before is stored.
        UsageError: there is no such format.
    """
    importers = importers_for(format) if not field_paths else (MappedImporter(field_paths),)
    reader = LogReader(importers, agent, keyring.pseudonym)
    found = find_log_files(paths)
    for file in found.files:
        check_readable(file)
    appender = _Appender(store, progress)
    summary = _Summary()
    try:
        for item in _items(found.files, reader, summary, unpack_all=unpack_all):
            summary.add(item)
            if isinstance(item.item, Call):
                call = item.item
                is_silent = call.audience == "unknown" and audience != "unknown"
                call = structs.replace(call, audience=audience) if is_silent else call
                level = recording.level(tenant=call.tenant, agent=call.agent, site=call.site)
                appender.add(recorded_part(call, level))
    except BadInput:
        appender.flush()
        raise
    appender.flush()
    progress("importing", appender.n_read, appender.n_read)
    if appender.n_read + appender.n_not_kept == 0:
        raise BadInput(summary.nothing_read(found.files))
    done = summary.result(appender.n_read, appender.n_new, found.hidden)
    return structs.replace(done, n_not_kept=appender.n_not_kept)


class ImportPreview(NamedTuple):
    """The result of an import that stores nothing."""

    first: Call
    """The first call, as it would be stored; ids of end users are left out."""
    n_calls: int
    summary: Imported


def look_at_paths(
    paths: Iterable[Path | str],
    format: str = AUTO,
    agent: str = "",
    *,
    field_paths: Mapping[str, str] | None = None,
    unpack_all: bool = False,
) -> ImportPreview:
    """The first call of logs and a summary of the rest; nothing is stored.

    Raises:
        BadInput: a path cannot be read, or there is not one call in all of them.
        UsageError: there is no such format.
    """
    importers = importers_for(format) if not field_paths else (MappedImporter(field_paths),)
    reader = LogReader(importers, agent)
    found = find_log_files(paths)
    for file in found.files:
        check_readable(file)
    summary = _Summary()
    first: Call | None = None
    n_calls = 0
    for item in _items(found.files, reader, summary, unpack_all=unpack_all):
        summary.add(item)
        if isinstance(item.item, Call):
            n_calls += 1
            first = first or item.item
    if first is None:
        raise BadInput(summary.nothing_read(found.files))
    return ImportPreview(first, n_calls, summary.result(n_calls, n_calls, found.hidden))


def _items(
    files: Sequence[LogFile], reader: LogReader, summary: _Summary, *, unpack_all: bool
) -> Iterator[ReadItem]:
    for file in files:
        n_before = summary.n_items
        for found in read_objects(file, unpack_all=unpack_all):
            yield from reader.read(found)
        if summary.n_items == n_before and not reader.is_gathering:
            yield ReadItem(Skip(file=file.name, line=0, reason="the file is empty"), file=file.name)
    yield from reader.finish()


class _Appender:
    """Gives calls to the store in batches."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store, self._progress = store, progress
        self._batch: list[Call] = []
        self._bytes = 0
        self.n_read = self.n_new = self.n_not_kept = 0

    def add(self, call: Call | None) -> None:
        """Takes a call; None for one of which nothing is kept."""
        if call is None:
            self.n_not_kept += 1
            return
        self.n_read += 1
        self._batch.append(call)
        self._bytes += sum(len(c) for m in call.messages if isinstance(c := m.get("content"), str))
        if len(self._batch) >= BATCH_CALLS or self._bytes >= BATCH_BYTES:
            self.flush()
            self._progress("importing", self.n_read)

    def flush(self) -> None:
        if self._batch:
            self.n_new += self._store.append(self._batch)
            self._batch, self._bytes = [], 0


class _Summary:
    """Counts what was read, by file, and why something was not, by reason."""

    def __init__(self) -> None:
        self.n_items = self.n_skipped = self.n_no_calls = 0
        self.skipped: list[Skip] = []
        self._formats: dict[str, dict[str, int]] = {}
        self._reasons: dict[str, dict[str, SkipReason]] = {}

    def add(self, read: ReadItem) -> None:
        """Counts one call or Skip."""
        self.n_items += 1
        file = read.file or (read.item.file if isinstance(read.item, Skip) else "")
        if file not in self._formats and len(self._formats) >= KEPT_FILES:
            file = "further files"
        formats = self._formats.setdefault(file, {})
        if isinstance(read.item, Call):
            formats[read.format] = formats.get(read.format, 0) + 1
            return
        skip = read.item
        if skip.is_no_call:
            self.n_no_calls += 1
        else:
            self.n_skipped += 1
            if len(self.skipped) < KEPT_SKIPS:
                self.skipped.append(skip)
        reasons = self._reasons.setdefault(file, {})
        known = reasons.get(skip.reason)
        reasons[skip.reason] = SkipReason(
            reason=skip.reason,
            n=known.n + 1 if known else 1,
            first_line=known.first_line if known else skip.line,
            is_no_call=skip.is_no_call,
            keys=known.keys if known else skip.keys,
        )

    def result(self, n_read: int, n_new: int, hidden: list[str]) -> Imported:
        """The summary of the import."""
        return Imported(
            n_calls=n_new,
            n_duplicates=n_read - n_new,
            n_skipped=self.n_skipped,
            n_no_calls=self.n_no_calls,
            skipped=self.skipped,
            files=self.files(),
            hidden=hidden[:KEPT_FILES],
        )

    def files(self) -> list[ImportedFile]:
        """Calls read and records left out, for each file."""
        out = []
        for name, formats in self._formats.items():
            reasons = sorted(self._reasons.get(name, {}).values(), key=lambda r: -r.n)
            out.append(
                ImportedFile(
                    name=name,
                    formats=formats,
                    n_calls=sum(formats.values()),
                    n_skipped=sum(r.n for r in reasons if not r.is_no_call),
                    n_no_calls=sum(r.n for r in reasons if r.is_no_call),
                    reasons=reasons,
                )
            )
        return out

    def nothing_read(self, files: Sequence[LogFile]) -> str:
        """The sentence for an import without a single call."""
        names = ", ".join(f.name for f in files[:3]) + (" ..." if len(files) > 3 else "")
        first = self.skipped[0] if self.skipped else None
        text = f"There is not one call in {names or 'the paths given'}."
        if first is None:
            reasons = [r for file in self._reasons.values() for r in file.values()]
            return f"{text} What it holds: {reasons[0].reason}." if reasons else text
        keys = f" (keys seen: {', '.join(first.keys)})" if first.keys else ""
        where = f"{first.file}, line {first.line}" if first.line else first.file
        return f"{text} First record that could not be read: {where}: {first.reason}{keys}."
