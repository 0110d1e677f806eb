"""Import of recorded logs into the store (stage S1).

A line that is no call is a Skip that names it, never an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from deputize.core.artifacts import Imported, Skip
from deputize.core.errors import BadInput
from deputize.core.progress import Progress, silent
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext, Importer, Pseudonym, no_pseudonym
from deputize.stages.collect.importers.registry import AUTO, importers_for
from deputize.stages.collect.log_lines import MAX_LINE_BYTES, check_readable, read_objects

if TYPE_CHECKING:
    from deputize.store.base import Store
    from deputize.store.keys.keyring import KeyRing

BATCH_CALLS = 256
BATCH_BYTES = 8 * 2**20
KEPT_SKIPS = 100

_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")


def read_calls(
    path: Path, format: str = AUTO, agent: str = "", *, pseudonym: Pseudonym = no_pseudonym
) -> Iterator[Call | Skip]:
    """The calls of one log in the order of its lines, and a Skip for each line that is none.

    Args:
        path: JSON lines or a JSON array, plain or gzip.
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
    path: Path,
    agent: str = "",
    *,
    pseudonym: Pseudonym = no_pseudonym,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Call | Skip]:
    """The same as `read_calls` for importers that are given: a single one reads every line, of several the first
    that recognises a line.

    Raises:
        BadInput: the file cannot be opened or read.
    """
    seen: dict[bytes, dict[bytes, int]] = {}
    for number, row in read_objects(path, max_line_bytes=max_line_bytes):
        if isinstance(row, Skip):
            yield row
            continue
        context = ImportContext(path.name, number, agent, pseudonym)
        found = _parse(importers, row, context)
        yield _with_unique_id(found, seen) if isinstance(found, Call) else found


def _parse(importers: Sequence[Importer], row: dict[str, Any], context: ImportContext) -> Call | Skip:
    if len(importers) == 1:
        return importers[0].parse(row, context)
    for importer in importers:
        if importer.sniff(row):
            return importer.parse(row, context)
    # in no format, so the last and most general one says what is missing
    return importers[-1].parse(row, context)


def import_paths(
    store: Store,
    keyring: KeyRing,
    paths: Iterable[Path],
    format: str = AUTO,
    agent: str = "",
    progress: Progress = silent,
) -> Imported:
    """Appends the calls of every log to the store; importing the same log again adds nothing.

    A folder stands for the logs in it. All paths are looked at before anything is stored.

    Raises:
        BadInput: a path cannot be read, or there is not one call in all of them.
        UsageError: there is no such format.
    """
    importers = importers_for(format)
    files = [file for path in paths for file in _expand(Path(path))]
    for file in files:
        check_readable(file)
    n_read = n_new = n_skipped = 0
    skipped: list[Skip] = []
    batch: list[Call] = []
    batch_bytes = 0
    for file in files:
        n_before = n_read + n_skipped
        for item in read_calls_with(importers, file, agent, pseudonym=keyring.pseudonym):
            if isinstance(item, Skip):
                n_skipped += 1
                if len(skipped) < KEPT_SKIPS:
                    skipped.append(item)
                continue
            n_read += 1
            batch.append(item)
            batch_bytes += _size(item)
            if len(batch) >= BATCH_CALLS or batch_bytes >= BATCH_BYTES:
                n_new += store.append(batch)
                batch, batch_bytes = [], 0
                progress("importing", n_read)
        if n_read + n_skipped == n_before:
            n_skipped += 1
            skipped.append(Skip(file=file.name, line=0, reason="the file is empty"))
    if batch:
        n_new += store.append(batch)
    progress("importing", n_read, n_read)
    if n_read == 0:
        raise BadInput(_nothing_read(files, skipped))
    return Imported(n_calls=n_new, n_duplicates=n_read - n_new, n_skipped=n_skipped, skipped=skipped)


def _nothing_read(files: list[Path], skipped: list[Skip]) -> str:
    names = ", ".join(f.name for f in files[:3]) + (" ..." if len(files) > 3 else "")
    first = skipped[0] if skipped else None
    why = (
        f" First line that could not be read: {first.file}, line {first.line}: {first.reason}."
        if first
        else ""
    )
    return f"There is not one call in {names or 'the paths given'}.{why}"


def _size(call: Call) -> int:
    return sum(len(c) for m in call.messages if isinstance(c := m.get("content"), str))


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.is_file() and p.name.endswith(_SUFFIXES))
    if not found:
        raise BadInput(f"The folder {path} holds no log: files that end in {', '.join(_SUFFIXES)} are read.")
    return found


def _with_unique_id(call: Call, seen: dict[bytes, dict[bytes, int]]) -> Call:
    """The call with an id that is the same at every import of the log.

    A line without an id is named by a digest of its content and, where equal lines occur, by their count: they are
    separate calls. An id used again for other content gets a number, so that no call is lost by a careless log; an
    equal line with an equal id is the same call.
    """
    content = _digest(msgspec.json.encode(call))
    name = call.id or f"log-{content.hex()}"
    uses = seen.setdefault(_digest(name.encode()), {})
    if call.id:
        nth = uses.setdefault(content, len(uses) + 1)
    else:
        nth = uses[content] = uses.get(content, 0) + 1
    return msgspec.structs.replace(call, id=name if nth == 1 else f"{name}#{nth}")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=12).digest()
