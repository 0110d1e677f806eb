"""The card of a trained tagger: what it was trained on, and its recall and precision."""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.records import Record

CARD = "tagger.json"
"""Its file."""
TAGGER_VERSION = 1


class TaggerCard(Record):
    """The training data of a tagger, and its figures on the validation and test samples."""

    types: list[str]
    threshold: float
    """A word is masked where the probability of "no personal data" falls below 1 - threshold."""
    n_train: int
    n_negatives: int
    """Training samples without a label."""
    n_validation: int
    spans_by_type: dict[str, int]
    """Labels in the training samples, per type."""
    epochs: float
    """Passes over the training samples; fewer than set where the deadline ended training."""
    stopped_early: bool
    """True where the deadline ended training: such a tagger cannot be reproduced from the seed alone."""
    train_s: float
    seed: int
    validation: dict[str, float] = msgspec.field(default_factory=dict)
    """char_recall, char_precision, char_f2, span_recall, over_masking at the threshold (over_masking: share of
    validation samples without a label in which something was found; absent where there are none)."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    base_sha256: str = ""
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    """File name -> sha256 of every file of the tagger but the card itself."""
    sources: dict[str, int] = msgspec.field(default_factory=dict)
    """Sample source -> samples."""
    n_test: int = 0
    """Samples that were used neither for training nor for the threshold; no wording is in both."""
    test: dict[str, float] = msgspec.field(default_factory=dict)
    """The figures of `validation` on the test samples, and those of direct identifiers; of the tagger as loaded
    (int8)."""
    test_union: dict[str, float] = msgspec.field(default_factory=dict)
    """The same for the tagger together with our rules."""
    version: int = TAGGER_VERSION

    def measured(self) -> str:
        """The measured recall, as the end of a sentence: "measured recall x on set y"; "" where nothing was
        measured."""
        recall = (self.test_union or self.test).get("char_recall")
        if recall is None:
            return ""
        companions = " together with the rules" if self.test_union else ""
        return f"measured recall {recall:.3f}{companions} on {self.n_test:,} held-out samples of {', '.join(self.sources)}"
