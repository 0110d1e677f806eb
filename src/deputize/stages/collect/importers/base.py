"""The protocol of importers: an importer turns one object of a log into a call.

Files, compression, JSON and unique ids are the business of `log_lines` and `import_logs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from deputize.core.artifacts import Skip
from deputize.core.records import Call

Pseudonym: TypeAlias = Callable[[str, str], str]
"""(raw id of the end user, tenant) -> pseudonym."""


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

    def skip(self, reason: str) -> Skip:
        """The result for an object that is no call. The reason must hold nothing of the object."""
        return Skip(file=self.file, line=self.line, reason=reason)


class Importer(Protocol):
    """One log format. `deputize.testing.check_importer` checks an implementation."""

    name: str
    """The word for --format."""
    description: str
    """One line for people who choose a format."""

    def sniff(self, row: dict[str, Any]) -> bool:
        """Check whether an object looks like one of this format. False for objects of all other formats."""
        ...

    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        """The call of one object, or a Skip with the reason why it is none. Never raises, changes nothing in `row`.

        The same object gives the same call every time. `Call.id` is the object's own id, or "" where it has none:
        the caller then names the call by its content. Ids of end users go through `context.pseudonym`; headers and
        keys of the upstream are left out.
        """
        ...
