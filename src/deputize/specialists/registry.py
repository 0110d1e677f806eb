"""Kinds of specialists by name: how the weights in a specialist's folder become something that predicts.

A package adds a kind with an entry point in the group "deputize.specialists" that leads to a `SpecialistKind`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from deputize.core.artifacts import Specialist
from deputize.core.errors import BadInput
from deputize.specialists.base import TextPredictor
from deputize.specialists.specialist_card import PredictorSettings

GROUP = "deputize.specialists"


@dataclass(frozen=True)
class StoredSpecialist:
    """A specialist on disk, its files checked."""

    folder: Path
    card: Specialist
    settings: PredictorSettings
    models_dir: Path
    """Where base models lie."""
    device: str = ""
    """"" for the best there is."""


LoadPredictor = Callable[[StoredSpecialist], TextPredictor]

OURS: dict[str, str] = {
    "cache": "deputize.specialists.answer_cache:load_cache",
    "linear": "deputize.specialists.linear_model:load_linear",
    "pointer": "deputize.specialists.pointer_predictor:load_pointer",
    "listed": "deputize.specialists.listed_answers:load_listed",
    "listed_writer": "deputize.specialists.listed_writer:load_listed_writer",
    "states": "deputize.specialists.state_heads:load_states",
    "cascade": "deputize.specialists.cascade:load_cascade",
    "head": "deputize.specialists.classification_head:load_head",
    "decoder": "deputize.specialists.decoder:load_decoder",
    "self_consistency": "deputize.specialists.sampled_answers:load_self_consistency",
    "verifier": "deputize.specialists.verified_answers:load_verifier",
    "tools": "deputize.specialists.tooled_answers:load_tools",
}
"""Kind -> module and name of its loader; modules are imported when they are asked for."""


def loader_of(kind: str) -> LoadPredictor:
    """The function that loads specialists of a kind.

    Raises:
        BadInput: no such kind; the sentence names the known ones.
    """
    if kind in OURS:
        module, name = OURS[kind].split(":")
        found: LoadPredictor = getattr(import_module(module), name)
        return found
    points = {point.name: point for point in entry_points(group=GROUP)}
    if kind not in points:
        raise BadInput(
            f"No specialist is of the kind {kind!r}. Known: {', '.join([*OURS, *sorted(points)])}."
        )
    try:
        found = points[kind].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The kind of specialist {kind} cannot be imported: {error}") from error
    return found
