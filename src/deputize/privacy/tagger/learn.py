"""From files of labelled samples to a tagger that was measured on samples it has not seen (`deputize privacy train`)."""

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
from deputize.privacy.tagger.card import Sample, TaggerCard
from deputize.privacy.tagger.evaluate import DetectionCounts
from deputize.privacy.tagger.network import CARD
from deputize.privacy.tagger.samples import SET_TYPES, families, read_samples, skeleton, split
from deputize.privacy.tagger.tagger import load_tagger
from deputize.privacy.tagger.train import check_place, train_tagger

SHARES = (0.7, 0.1, 0.2)
"""Of train, dev and test."""
MIN_LABELLED = 20
MAX_SHARE_OF_A_FAMILY = 0.3
TRAINING_SHARE = 0.8
"""Of the time there is; the rest goes to choosing the threshold and to measuring."""


def gather(paths: Sequence[Path]) -> tuple[list[Sample], list[Skip]]:
    """The samples of some files, equal texts once, and the lines that are none.

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
            f" First line left out: {skipped[0].file}:{skipped[0].line}: {skipped[0].reason}."
            if skipped
            else ""
        )
        raise BadInput(
            f"{n_labelled} samples with spans are too few to learn from and to measure on; {MIN_LABELLED} are the "
            f"least, some hundreds of each kind of text are better.{first}"
        )
    return list(samples.values()), skipped


def sides(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Train, dev and test. Likes stay on one side: families of wording, or where these would swallow a side, equal
    wordings, or where these would, records."""
    groups: Sequence[int | str] = list(range(len(samples)))
    for kind in (families(samples), [skeleton(s) for s in samples]):
        if max(Counter(kind).values()) <= MAX_SHARE_OF_A_FAMILY * len(samples):
            groups = kind
            break
    side = split(groups, SHARES, seed)
    train, dev, test = ([s for s, at in zip(samples, side, strict=True) if at == k] for k in range(3))
    return train, dev, test


def figures(samples: Sequence[Sample], detectors: Sequence[Detector]) -> dict[str, float]:
    """The shares of Tally.figures that could be measured, of the union of some detectors."""
    tally = DetectionCounts()
    for sample, found in zip(samples, detect_all(detectors, [s.text for s in samples]), strict=True):
        tally.add(sample, found)
    return {name: round(share, 4) for name, share in tally.figures().items() if share is not None}


def learn(
    samples: Sequence[Sample],
    out_dir: Path,
    *,
    base_dir: Path,
    seed: int,
    minutes: float,
    progress: Progress = silent,
) -> TaggerCard:
    """Trains a tagger on most of the samples, measures it on the rest, alone and with our rules, and writes it all.

    Raises:
        BadInput: out_dir holds something else, or a side has no labelled sample.
        MissingExtra: torch, transformers or safetensors is missing.
    """
    check_place(out_dir)
    train, dev, test = sides(samples, seed)
    if not all(any(s.spans for s in side) for side in (train, test)):
        raise BadInput(
            "The samples are too much alike to keep some for measuring: all that carry spans fall on one side."
        )
    rules: list[Detector] = [DeobfuscatingDetector(RuleDetector())]
    train_tagger(
        train,
        out_dir,
        base_dir=base_dir,
        seed=seed,
        deadline_s=minutes * 60 * TRAINING_SHARE,
        dev=dev,
        beside=rules,
        progress=progress,
    )
    tagger = load_tagger(out_dir)
    card = msgspec.structs.replace(
        tagger.card,
        n_test=len(test),
        test=figures(test, [tagger]),
        test_union=figures(test, [tagger, *rules]),
    )
    (out_dir / CARD).write_bytes(encode(card))
    return card
