"""Chooses the threshold of a tagger on the validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from deputize.core.progress import Progress
from deputize.privacy.detectors.base import Detector, Span
from deputize.privacy.detectors.spans import detect_all, join_adjacent
from deputize.privacy.tagger import network
from deputize.privacy.tagger.detection_counts import DetectionCounts
from deputize.privacy.tagger.encoding import spans_of
from deputize.privacy.tagger.labelled_text import Sample

WINDOW, OVERLAP = 256, 48
"""Pieces that go through the encoder together, and pieces that neighbouring windows share."""
MAX_ADDED = 0.01
"""Share of the samples without labels in which the tagger alone may find something, beyond those in which other
detectors find something: all detectors together should stay below 3 %, and our rules find something in 1.5 % of plain
utterances."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DEFAULT_THRESHOLD = 0.5
"""Without validation samples."""


class ChosenThreshold(NamedTuple):
    """A threshold, and the figures of the tagger alone at it."""

    threshold: float
    figures: dict[str, float]


def choose_threshold(
    model: Any,
    tokenizer: Any,
    types: Sequence[str],
    validation: Sequence[Sample],
    companions: Sequence[Detector],
    progress: Progress,
) -> ChosenThreshold:
    """The threshold with the best F2 on the validation samples, of the tagger and its companions together.

    Thresholds at which the tagger adds findings in more than MAX_ADDED of the samples without labels come last.
    """
    if not validation:
        return ChosenThreshold(DEFAULT_THRESHOLD, {})
    texts = [s.text for s in validation]
    by_companions = detect_all(companions, texts)
    special = network.special_ids(tokenizer)
    predicted = network.probabilities(
        model, tokenizer, special, texts, window=WINDOW, overlap=OVERLAP, progress=progress
    )
    best: tuple[float, float] | None = None
    chosen = ChosenThreshold(DEFAULT_THRESHOLD, {})
    for threshold in THRESHOLDS:
        by_tagger = [
            join_adjacent(spans_of(probabilities, words, offsets, types, threshold), text)
            for text, (probabilities, words, offsets) in zip(texts, predicted, strict=True)
        ]
        rank, figures = rank_findings(validation, by_tagger, by_companions)
        if best is None or rank > best:
            best, chosen = rank, ChosenThreshold(threshold, figures)
    return chosen


def rank_findings(
    samples: Sequence[Sample], by_tagger: Sequence[list[Span]], by_companions: Sequence[list[Span]]
) -> tuple[tuple[float, float], dict[str, float]]:
    """((minus the excess of added findings, F2 of all detectors), the figures of the tagger alone); higher is
    better."""
    alone, together = DetectionCounts(), DetectionCounts()
    n_added = 0
    for sample, found, others in zip(samples, by_tagger, by_companions, strict=True):
        alone.add(sample, found)
        together.add(sample, [*found, *others])
        n_added += bool(found) and not others and not sample.spans
    n_clean = sum(not s.spans for s in samples)
    excess = max(0.0, n_added / n_clean - MAX_ADDED) if n_clean else 0.0
    figures = {k: round(v, 4) for k, v in alone.figures().items() if v is not None}
    return (-excess, together.figures()["char_f2"] or 0.0), figures
