"""Writes docs/reference/settings.md from the classes of settings: `python -m deputize.cli.settings_reference`.

A setting's meaning is the docstring below it.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deputize.core.config import (
    Convert,
    EngineSettings,
    JudgeSettings,
    ObjectsSettings,
    Privacy,
    RouteSettings,
    RunnerSettings,
    ServingSettings,
    StoreSettings,
    TeacherSettings,
)
from deputize.core.recording_policy import Recording
from deputize.web.report_reference import field_docstrings

TABLES: dict[str, type[BaseModel]] = {
    "convert": Convert,
    "engine": EngineSettings,
    "judge": JudgeSettings,
    "objects": ObjectsSettings,
    "privacy": Privacy,
    "recording": Recording,
    "routes": RouteSettings,
    "runner": RunnerSettings,
    "serving": ServingSettings,
    "store": StoreSettings,
    "teacher": TeacherSettings,
}
"""Tables of config.toml, with the class of their settings."""

_HEAD = """# Settings of a home

`HOME/config.toml` holds the settings of a home. Every table may be absent, and a misspelt name is refused. Options of
a command win over `[convert]`. This page is written by `python -m deputize.cli.settings_reference`; a test compares it
with the code.

`[gateway]` and `[upstreams.NAME]` are described with the [gateway](gateway.md).
"""

_RETENTION = """## `[retention]`

Days that the calls of a tenant are kept, by the name of the tenant; `"*"` is every other tenant. Without the table
calls are kept until they are erased.

```toml
[retention]
"*" = 365
acme = 30
```
"""


def markdown() -> str:
    """The page."""
    return "\n".join([_HEAD, *(_table(name, kind) for name, kind in TABLES.items()), _RETENTION])


def _table(name: str, kind: type[BaseModel]) -> str:
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|", *_rows(kind)]
    about = " ".join((kind.__doc__ or "").split("\n\n")[0].split()).removeprefix(
        f"`[{name}]` of HOME/config.toml: "
    )
    return f"## `[{name}]`\n\n{about[0].upper()}{about[1:]}\n\n" + "\n".join(rows) + "\n"


def _rows(kind: type[BaseModel]) -> Iterator[str]:
    """Raises LookupError where a setting has no docstring."""
    hints, meanings = get_type_hints(kind), field_docstrings(kind.__module__, kind.__name__)
    for name, field in kind.model_fields.items():
        if name not in meanings:
            raise LookupError(f"{kind.__name__}.{name} has no docstring")
        # TOML has no null: a setting that may be None is left out
        meaning = " ".join(meanings[name].split()).replace("|", "\\|").replace("None:", "not set:")
        yield f"| `{name}` | {_type(hints[name])}{_bounds(field)} | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "not set" if value is None else f"`{json.dumps(value)}`"


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in signs.items()
        if hasattr(bound, name)
    ]
    return f", {' and '.join(found)}" if found else ""


def _type(hint: Any) -> str:
    """A type in the words of TOML."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(part) for part in parts if part is not type(None))
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if origin is dict:
        return f"table of {_type(parts[1])}"
    if origin is tuple:
        return f"list of {_type(parts[0])}" if parts[-1] is Ellipsis else f"list of {len(parts)}"
    return {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything"}[hint]


if __name__ == "__main__":
    sys.stdout.write(markdown())
