"""The protocol of importers: an importer turns the objects of a log into calls.

Files, compression, JSON and unique ids are the business of the containers and of `import_logs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from deputize.core.artifacts import Skip
from deputize.core.records import Call

Pseudonym: TypeAlias = Callable[[str, str], str]
"""(raw id of the end user, tenant) -> pseudonym."""
Parsed: TypeAlias = "Call | Skip | Sequence[Call | Skip]"
"""The content of an object: one call, none, or several."""


class Unreadable(Exception):
    """The reason why an object is no call; the text never holds anything of the object."""


def no_pseudonym(raw_id: str, tenant: str) -> str:
    """The pseudonym where there is no key to make one: none, so that the id is not stored in any form."""
    return ""


@dataclass(frozen=True, slots=True)
class ImportContext:
    """Everything an importer may need besides the object itself."""

    file: str
    """Name of the log file, without folders."""
    line: int
    agent: str = ""
    """The agent's name for calls that carry none."""
    pseudonym: Pseudonym = no_pseudonym
    around: dict[str, Any] = field(default_factory=dict)
    """Fields of the document that the object is in, such as the trace of an observation."""

    def skip(self, reason: str) -> Skip:
        """The result for an object that cannot be read. The reason must hold nothing of the object."""
        return Skip(file=self.file, line=self.line, reason=reason)

    def no_call(self, reason: str) -> Skip:
        """The result for an object that is no LLM call by its nature, such as the span of a tool."""
        return Skip(file=self.file, line=self.line, reason=reason, is_no_call=True)


class Importer(Protocol):
    """One log format. `deputize.testing.check_importer` checks an implementation.

    An importer may have an attribute `marks`, a frozenset of names: an object that has a field of none of these names
    is not shown to `sniff`, which saves time where many formats are asked.
    """

    name: str
    """The word for --format."""
    description: str
    """One line for people who choose a format."""

    def sniff(self, row: dict[str, Any]) -> bool:
        """Check whether an object looks like one of this format. False for objects of all other formats."""
        ...

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        """The call of one object, or a Skip with the reason why it is none. Never raises, changes nothing in `row`.

        An object that holds several calls, such as a conversation, gives a list of them.
        The same object gives the same call every time. `Call.id` is the object's own id, or "" where it has none:
        the caller then names the call by its content. Ids of end users go through `context.pseudonym`; headers and
        keys of the upstream are left out.
        """
        ...


class Joiner(Protocol):
    """Puts calls together that are spread over several objects of an import."""

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        """The calls that are whole with this object. Never raises, changes nothing in `row`."""
        ...

    def finish(self) -> Sequence[Call | Skip]:
        """The calls that are whole only now, at the end of the import, and a Skip for every part that was left over."""
        ...


@runtime_checkable
class JoiningImporter(Importer, Protocol):
    """A format in which a call is spread over several objects. `parse` reads an object as if there were no other."""

    def joiner(self) -> Joiner:
        """A new joiner, one for each import."""
        ...


def parse_alone(importer: JoiningImporter, row: dict[str, Any], context: ImportContext) -> Parsed:
    """The calls in a single object of a format that joins several."""
    joiner = importer.joiner()
    found = [*joiner.add(row, context), *joiner.finish()]
    return found[0] if len(found) == 1 else found or context.skip("not one call in it")


def as_list(found: Parsed) -> list[Call | Skip]:
    """The result of `parse` as a list."""
    return [found] if isinstance(found, Call | Skip) else list(found)
