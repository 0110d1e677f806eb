"""Folders that the environment chooses: the home folder and the folder of downloaded models."""

from __future__ import annotations

import os
from pathlib import Path


def home_path(given: str | None = None) -> Path:
    """The home folder: what was given, else DEPUTIZE_HOME, else ./.deputize. It need not exist yet."""
    return Path(given or os.environ.get("DEPUTIZE_HOME") or ".deputize").expanduser().absolute()


def models_path() -> Path:
    """The folder of downloaded models: DEPUTIZE_MODELS, else ~/.cache/deputize/models (shared by all homes)."""
    return Path(os.environ.get("DEPUTIZE_MODELS") or "~/.cache/deputize/models").expanduser().absolute()
