"""Licences of models: what each asks of who uses it, and whether a user's settings accept that."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from deputize.core.records import Record

Condition = Literal[
    "notice",
    "use-policy",
    "naming",
    "user-limit",
    "revenue-limit",
    "non-commercial",
    "unreleased",
    "unknown",
]


class Licence(Record, forbid_unknown_fields=True):
    """A row of licences.toml."""

    name: str
    url: str
    conditions: list[Condition]
    sentence: str
    """What it asks, in one line."""
    read: str = ""
    """Day on which the text at `url` was compared with this row; "" where it was written from memory."""


@cache
def licences() -> dict[str, Licence]:
    """Every licence by its name."""
    text = resources.files("deputize.specialists").joinpath("licences.toml").read_text("utf-8")
    return {
        name: msgspec.convert({"name": name, **row}, Licence) for name, row in tomllib.loads(text).items()
    }


def licence_of(name: str) -> Licence:
    """The row of a licence; one whose only condition is "unknown" where the name stands in no row."""
    known = licences()
    return known.get(name.lower()) or Licence(
        name=name, url="", conditions=["unknown"], sentence="not among the licences that are known here"
    )


def refusal_of_licence(names: Sequence[str], accepted: Sequence[str]) -> str:
    """Why the settings do not accept the licences of a model, in one sentence; "" where they do.

    Args:
        names: all licences that bind.
        accepted: conditions that the user accepts.
    """
    for name in names:
        found = licence_of(name)
        if found.conditions == ["unreleased"]:
            return "it has no public weights"
        barred = [condition for condition in found.conditions if condition not in accepted]
        if barred:
            return f"its licence ({found.name}: {found.sentence}) has conditions that the settings do not accept: {', '.join(barred)}"
    return ""
