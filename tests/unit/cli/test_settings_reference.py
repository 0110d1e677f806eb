"""The page of settings holds every setting of every table, with bounds and defaults in the words of TOML."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import BaseModel

from deputize.cli import settings_reference
from deputize.cli.settings_reference import TABLES, markdown


def test_every_setting_has_a_row() -> None:
    page = markdown()
    for name, kind in TABLES.items():
        section = page[page.index(f"## `[{name}]`") :].split("\n## ")[0]
        for setting in kind.model_fields:
            assert section.count(f"\n| `{setting}` |") == 1


def test_defaults_can_be_pasted() -> None:
    """Each default is TOML, and the class takes the table that all of them make."""
    for name, kind in TABLES.items():
        section = markdown().split(f"## `[{name}]`")[1].split("\n## ")[0]
        rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| `")]
        lines = [f"{row[0][3:-1]} = {row[2].strip('`')}" for row in rows if row[2] != "not set"]
        assert lines and kind.model_validate(tomllib.loads("\n".join(lines))) == kind()


def test_bounds_and_absent_values_are_said() -> None:
    page = markdown()
    assert "| `epsilon` | number, > 0 and < 1 | `0.05` |" in page
    assert "| `renew_after_days` | number, > 0 | `90.0` |" in page and "not set: never" in page
    assert "None" not in page


def test_a_setting_without_a_meaning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(BaseModel):
        x: int = 1

    monkeypatch.setattr(settings_reference, "TABLES", {"bare": Bare})
    with pytest.raises(LookupError, match=r"Bare\.x"):
        markdown()
