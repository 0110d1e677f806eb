"""The settings of a home with their values: those of config.toml, and the defaults of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from deputize.cli.settings_reference import TABLES
from deputize.gateway.settings import GatewaySettings

ALL_TABLES: dict[str, type[BaseModel]] = {**TABLES, "gateway": GatewaySettings}
_HIDDEN = {("privacy", "sensitive"), ("privacy", "confirmed")}
"""Lists of values that are sensitive themselves: their number is shown."""


class SettingInForce(NamedTuple):
    """A setting and its value."""

    table: str
    name: str
    value: Any
    is_set: bool
    """config.toml says so; False: it is the default."""


def settings_in_force(config: Mapping[str, Any]) -> list[SettingInForce]:
    """Every setting, table by table; of a table with mistakes only what config.toml says, as it stands there.

    Args:
        config: config.toml.
    """
    out: list[SettingInForce] = []
    for table, kind in sorted(ALL_TABLES.items()):
        given = config.get(table, {})
        values = _values(kind, given)
        out += (
            SettingInForce(table, name, _shown(table, name, values[name]), name in given)
            for name in sorted(values)
        )
    for table in sorted(config.keys() - ALL_TABLES.keys()):
        given = config[table] if isinstance(config[table], dict) else {}
        out += (SettingInForce(table, str(name), given[name], True) for name in sorted(given, key=str))
    return out


def _values(kind: type[BaseModel], given: Any) -> dict[str, Any]:
    try:
        return kind.model_validate(given).model_dump(mode="json")
    except ValidationError:
        return dict(given) if isinstance(given, dict) else {}


def _shown(table: str, name: str, value: Any) -> Any:
    if (table, name) in _HIDDEN and isinstance(value, list) and value:
        return f"({len(value)} not shown)"
    return value
