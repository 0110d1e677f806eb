"""Every mistake of a config.toml at once, in sentences, with a proposal for a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from deputize.cli.settings_in_force import ALL_TABLES
from deputize.core.config import demand
from deputize.core.errors import BadInput, DeputizeError
from deputize.home import Home

_OTHERS = ("audience", "retention", "processing")
"""Tables without a class of settings: lines of names that the user chooses, or of facts."""


def mistakes(home: Path, table: Mapping[str, Any]) -> list[str]:
    """The mistakes of a home's settings.

    Args:
        home: the folder; what is in other files is not read.
        table: config.toml as it stands.
    """
    return list(_mistakes(home, table))


def _mistakes(home: Path, table: Mapping[str, Any]) -> Iterator[str]:
    for name, values in table.items():
        if name in ALL_TABLES:
            yield from _wrong_settings(ALL_TABLES[name], name, values)
        elif name not in _OTHERS:
            yield f"[{name}] is no table of settings.{_proposal(name, [*ALL_TABLES, *_OTHERS])}"
    if "audience" in table:
        yield from _wrong_settings(ALL_TABLES["convert"], "convert", {"audience": table["audience"]})
    if "retention" in table:
        yield from _wrong_retention(home)


def _wrong_settings(kind: type[BaseModel], table: str, values: Any) -> Iterator[str]:
    try:
        kind.model_validate(values)
    except ValidationError as error:
        for one in error.errors():
            place = [part for part in one["loc"] if not isinstance(part, int)]
            where = f"[{'.'.join([table, *map(str, place[:-1])])}]"
            name = str(place[-1]) if place else ""
            if one["type"] == "extra_forbidden":
                known = _settings_at(kind, [str(part) for part in place[:-1]])
                yield f"{where}: there is no setting {name!r}.{_proposal(name, known)}"
            else:
                yield f"{where} {name}: {demand(one['type'], one['msg'])} (given: {one['input']!r})."


def _settings_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    """The names of the settings in a table within a table; [] where it has no class."""
    for name in path:
        hint = get_type_hints(kind).get(name)
        inner = [k for k in (hint, *get_args(hint)) if isinstance(k, type) and issubclass(k, BaseModel)]
        if not inner:
            return []
        kind = inner[0]
    return list(kind.model_fields)


def _wrong_retention(home: Path) -> Iterator[str]:
    try:
        Home(home).retention()
    except BadInput as error:
        yield str(error)
    except DeputizeError:
        return  # settings that nobody has accepted: `config show` says so


def _proposal(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2)
    return f" Did you mean {' or '.join(near)}?" if near else ""
