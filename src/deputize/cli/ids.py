"""Ids on the command line: as a whole, or any beginning that only one of them has."""

from __future__ import annotations

from collections.abc import Iterable

from deputize.core.errors import BadInput
from deputize.home import Home


def whole_id(given: str, known: Iterable[str], what: str) -> str:
    """The id that is meant.

    Args:
        given: an id, or the beginning of one. "route-" at the beginning may be left out or put there, so that a task
            and its route go by the same id.
        known: all ids.
        what: route, task or run.

    Raises:
        BadInput: there is none, or more than one.
    """
    ids = list(dict.fromkeys(known))
    if given in ids:
        return given
    bare = given.removeprefix("route-")
    found = [
        id for id in ids if bare and (id.startswith((given, bare)) or id.partition("-")[2].startswith(bare))
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(found or ids) or "none"
    if found:
        raise BadInput(f"{given!r} is the beginning of more than one {what}: {listed}.")
    raise BadInput(f"There is no {what} {given!r}; there are: {listed}.")


def whole_run_id(home: Home, given: str | None) -> str | None:
    """The id of the run that is meant; None for None. Raises BadInput as `whole_id`."""
    if given is None:
        return None
    return whole_id(given, sorted(p.name for p in home.runs_path.glob("*") if p.is_dir()), "run")
