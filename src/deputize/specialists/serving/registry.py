"""Engines by name: what the gateway asks specialists through.

A package adds one with an entry point in the group "deputize.engines" that leads to a function of (home folder, models
folder) which gives a `Engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeAlias

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput, UsageError
from deputize.specialists.serving.base import Engine
from deputize.specialists.serving.pool import WorkerEngine

GROUP = "deputize.engines"
MakeEngine: TypeAlias = Callable[[Path, Path], Engine]
OURS = ("local", "llamacpp", "vllm", "openai")
"""All of them a worker process on this machine; with the others it asks llama.cpp, vLLM or a server for what a decoder
writes."""


def make_engine(settings: EngineSettings, home: Path, models_dir: Path) -> Engine:
    """The engine of a home's settings, not yet started.

    Args:
        settings: its kind is one of ours, or an entry point.
        home: the folder that specialists' paths are relative to.
        models_dir: where base models lie.

    Raises:
        UsageError: no such engine; the sentence names the known ones.
        BadInput: the entry point cannot be imported.
    """
    name = settings.kind
    if name in OURS:
        return WorkerEngine(home, models_dir, settings)
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join([*OURS, *sorted(points)])
        raise UsageError(f"No engine is called {name!r} ([engine] kind). Known: {known}.")
    try:
        make: MakeEngine = points[name].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The engine {name} cannot be imported: {error}") from error
    return make(home, models_dir)
