"""Trains a tagger on files of labelled samples and measures it on held-out ones (`deputize privacy train`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.core.progress import Progress, silent
from deputize.core.records import encode
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import detect_all
from deputize.privacy.tagger.detection_counts import DetectionCounts
from deputize.privacy.tagger.labelled_text import Sample
from deputize.privacy.tagger.samples import SET_TYPES, read_samples
from deputize.privacy.tagger.tagger_card import CARD, TaggerCard
from deputize.privacy.tagger.tagger_detector import load_tagger
from deputize.privacy.tagger.train import check_out_dir, train_tagger
from deputize.privacy.tagger.training_loop import TaggerTrainingSettings
from deputize.privacy.tagger.wording import families, skeleton, split_by_group

SHARES = (0.7, 0.1, 0.2)
"""Of training, validation and test."""
MIN_LABELLED = 20
MAX_FAMILY_SHARE = 0.3
TRAINING_SHARE = 0.8
"""Of the available time; the rest is for choosing the threshold and for the test."""


def load_samples(paths: Sequence[Path]) -> tuple[list[Sample], list[Skip]]:
    """(the samples of some files, equal texts once; the lines that are not samples).

    Raises:
        BadInput: a file cannot be read, or fewer than MIN_LABELLED samples carry a label.
    """
    samples: dict[str, Sample] = {}
    skipped: list[Skip] = []
    for path in paths:
        for item in read_samples(path, rename=SET_TYPES):
            if isinstance(item, Skip):
                skipped.append(item)
            else:
                samples.setdefault(item.text, item)
    n_labelled = sum(bool(s.spans) for s in samples.values())
    if n_labelled < MIN_LABELLED:
        first = (
            f" First skipped line: {skipped[0].file}:{skipped[0].line}: {skipped[0].reason}."
            if skipped
            else ""
        )
        raise BadInput(
            f"{n_labelled} samples with spans are too few to train on and to measure on; {MIN_LABELLED} are the "
            f"minimum, some hundreds of each kind of text are better.{first}"
        )
    return list(samples.values()), skipped


def split_samples(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Training, validation and test samples. A family of similar wording is in one split; where a family would fill a
    split, equal wordings are; where these would, records are split."""
    groups: Sequence[int | str] = list(range(len(samples)))
    for kind in (families(samples), [skeleton(s) for s in samples]):
        if max(Counter(kind).values()) <= MAX_FAMILY_SHARE * len(samples):
            groups = kind
            break
    split = split_by_group(groups, SHARES, seed)
    training, validation, test = (
        [s for s, at in zip(samples, split, strict=True) if at == k] for k in range(3)
    )
    return training, validation, test


def measure(samples: Sequence[Sample], detectors: Sequence[Detector]) -> dict[str, float]:
    """The figures of DetectionCounts that are defined, of the merged findings of some detectors."""
    counts = DetectionCounts()
    for sample, found in zip(samples, detect_all(detectors, [s.text for s in samples]), strict=True):
        counts.add(sample, found)
    return {name: round(share, 4) for name, share in counts.figures().items() if share is not None}


def train_and_measure(
    samples: Sequence[Sample],
    out_dir: Path,
    *,
    base_dir: Path,
    seed: int,
    minutes: float,
    progress: Progress = silent,
) -> TaggerCard:
    """Trains a tagger on most of the samples, measures it on the rest, alone and with our rules, and writes it and its
    card.

    Raises:
        BadInput: out_dir contains something else, or a split has no labelled sample.
        MissingExtra: torch, transformers or safetensors is missing.
    """
    check_out_dir(out_dir)
    training, validation, test = split_samples(samples, seed)
    if not all(any(s.spans for s in part) for part in (training, test)):
        raise BadInput(
            "The samples are too similar to hold some out for measuring: all that have spans are in one split."
        )
    rules: list[Detector] = [DeobfuscatingDetector(RuleDetector())]
    train_tagger(
        training,
        out_dir,
        base_dir=base_dir,
        settings=TaggerTrainingSettings(seed, deadline_s=minutes * 60 * TRAINING_SHARE),
        validation=validation,
        companions=rules,
        progress=progress,
    )
    tagger = load_tagger(out_dir)
    card = msgspec.structs.replace(
        tagger.card,
        n_test=len(test),
        test=measure(test, [tagger]),
        test_union=measure(test, [tagger, *rules]),
    )
    (out_dir / CARD).write_bytes(encode(card))
    return card
