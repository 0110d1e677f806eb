"""Calls out of the objects of logs: each object goes to the importer that recognises it, wrappers are opened."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.containers.log_objects import LogObject
from deputize.stages.collect.importers.base import (
    ImportContext,
    Importer,
    Joiner,
    JoiningImporter,
    Parsed,
    Pseudonym,
    no_pseudonym,
)
from deputize.stages.collect.importers.wrapped_records import unnamed_records, unwrapped

MAX_WRAPPERS = 6
MAX_KEY_SETS = 4096
_KEY = re.compile(r"[A-Za-z_@$][\w.\-@$:]{0,39}")
_SHOWN_KEYS = 8


@dataclass(frozen=True, slots=True)
class ReadItem:
    """A call or a Skip, and what recognised it."""

    item: Call | Skip
    format: str = ""
    """Name of the importer; "" where none recognised the object."""
    file: str = ""


class LogReader:
    """Reads the objects of one import.

    Args:
        importers: asked in this order; a single one reads every object that is no wrapper.
        agent: the agent's name for calls that carry none.
        pseudonym: turns the raw id of an end user into what may be stored; without it such ids are dropped.
    """

    def __init__(
        self, importers: Sequence[Importer], agent: str = "", pseudonym: Pseudonym = no_pseudonym
    ) -> None:
        self._importers = importers
        self._agent, self._pseudonym = agent, pseudonym
        self._candidates: dict[frozenset[str], tuple[Importer, ...]] = {}
        self._joining = {i.name: i for i in importers if isinstance(i, JoiningImporter)}
        self._joiners: dict[str, Joiner] = {}
        self._file = ""
        self._seen: dict[bytes, dict[bytes, int]] = {}

    def read(self, found: LogObject) -> Iterator[ReadItem]:
        """The calls in an object, and a Skip for what is none."""
        if found.file != self._file:
            self._file, self._seen = found.file, {}
        if isinstance(found.value, Skip):
            yield ReadItem(found.value, file=found.file)
            return
        context = ImportContext(found.file, found.line, self._agent, self._pseudonym, found.around)
        yield from self._row(found.value, context, 0)

    @property
    def is_gathering(self) -> bool:
        """True where objects were taken whose calls are not whole yet."""
        return bool(self._joiners)

    def finish(self) -> Iterator[ReadItem]:
        """The calls that only the end of the import makes whole."""
        for name, joiner in self._joiners.items():
            yield from self._items(joiner.finish(), name, self._file)

    def _row(self, row: dict[str, Any], context: ImportContext, depth: int) -> Iterator[ReadItem]:
        importer = next((i for i in self._asked(row) if i.sniff(row)), None)
        if importer is None and depth < MAX_WRAPPERS:
            is_wrapper = False
            for inner, around in unwrapped(row):
                is_wrapper = True
                more = {**context.around, **around}
                inner_context = ImportContext(context.file, context.line, self._agent, self._pseudonym, more)
                yield from self._row(inner, inner_context, depth + 1)
            if is_wrapper:
                return
            for inner, around in unnamed_records(row, self._is_known):
                is_wrapper = True
                inner_context = ImportContext(
                    context.file, context.line, self._agent, self._pseudonym, {**context.around, **around}
                )
                yield from self._row(inner, inner_context, depth + 1)
            if is_wrapper:
                return
        if importer is None and len(self._importers) == 1:
            importer = self._importers[0]
        if importer is None:
            yield ReadItem(_unknown(row, context), file=context.file)
            return
        yield from self._items(self._parse(importer, row, context), importer.name, context.file)

    def _is_known(self, row: dict[str, Any]) -> bool:
        return any(importer.sniff(row) for importer in self._asked(row))

    def _asked(self, row: dict[str, Any]) -> Sequence[Importer]:
        """The importers that may recognise an object, by the names of its fields."""
        keys = frozenset(row)
        found = self._candidates.get(keys)
        if found is None:
            if len(self._candidates) >= MAX_KEY_SETS:
                self._candidates.clear()
            found = tuple(
                i for i in self._importers if not (m := getattr(i, "marks", None)) or not keys.isdisjoint(m)
            )
            self._candidates[keys] = found
        return found

    def _parse(self, importer: Importer, row: dict[str, Any], context: ImportContext) -> Parsed:
        joining = self._joining.get(importer.name)
        if joining is None:
            return importer.parse(row, context)
        joiner = self._joiners.get(importer.name)
        if joiner is None:
            joiner = self._joiners[importer.name] = joining.joiner()
        return joiner.add(row, context)

    def _items(self, found: Parsed, name: str, file: str) -> Iterator[ReadItem]:
        for item in [found] if isinstance(found, Call | Skip) else found:
            if isinstance(item, Call):
                yield ReadItem(_with_unique_id(item, self._seen), name, file)
            else:
                yield ReadItem(item, name, item.file)


def _unknown(row: dict[str, Any], context: ImportContext) -> Skip:
    """The Skip for an object in no known format; of its keys only such as are names, and not what a person wrote."""
    keys = [key for key in row if _KEY.fullmatch(key)][:_SHOWN_KEYS]
    if "messages" in row:
        why = "messages is not a list with at least one message" if not row["messages"] else "no response"
    else:
        why = "no messages"
    return Skip(file=context.file, line=context.line, reason=f"in no format that is known: {why}", keys=keys)


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
