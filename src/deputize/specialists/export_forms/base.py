"""Protocol of a form of export: a folder that another engine loads, and the way it is loaded back to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from deputize.specialists.base import TextPredictor
from deputize.specialists.registry import StoredSpecialist


class LoadedExport(NamedTuple):
    """An export that answers."""

    predictor: TextPredictor
    engine: str
    """The program that answers, its version, and how it is asked."""
    has_confidence: bool = True
    """True where its raw confidence has the meaning of the specialist's own."""


class ExportForm(Protocol):
    """A form that a specialist can be exported in."""

    @property
    def name(self) -> str:
        """As in `--to`."""
        ...

    @property
    def precisions(self) -> Sequence[str]:
        """Of the weights, the default first; one where there is no choice."""
        ...

    def refusal(self, stored: StoredSpecialist) -> str:
        """Why a specialist has no such form, as a clause that begins with "it"; "" where it has."""
        ...

    def require(self) -> None:
        """Raises MissingExtra, with what to install, where the form cannot be written on this machine."""
        ...

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        """Writes the weights into a folder; the lines of the model card that say how an engine loads them, as
        Markdown."""
        ...

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        """The export, loaded from the folder that `write` wrote."""
        ...
