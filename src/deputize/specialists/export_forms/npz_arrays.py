"""The form "npz": the arrays and the card of a linear specialist, which this package reads without torch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.linear_model import LINEAR_FILE
from deputize.specialists.pointer_predictor import POINTERS_FILE, TOOLS_FILE
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.specialist_card import CARD

KINDS = ("linear", "pointer")


class NpzForm:
    """Weights as numpy arrays; no vocabulary, for features are hashed."""

    name, precisions = "npz", ("as trained",)

    def refusal(self, stored: StoredSpecialist) -> str:
        return "" if stored.card.kind in KINDS else "it is no linear model"

    def require(self) -> None:
        """Nothing: it needs only the base installation."""

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        for name in (CARD, LINEAR_FILE, POINTERS_FILE, TOOLS_FILE):
            if (stored.folder / name).is_file():
                shutil.copy(stored.folder / name, folder / name)
        return (
            "`deputize.Specialist.load(FOLDER).predict(requests)` answers from this folder with the base installation of deputize, "
            "without torch, network or home. Features are hashed n-grams of words and characters, weighed and normalised as in "
            "`deputize/specialists/hashed_features.py`."
        )

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        predictor = loader_of(stored.card.kind)(replace(stored, folder=folder))
        return LoadedExport(predictor, "deputize's own code, reading the exported arrays")


NPZ = NpzForm()
