"""The words of the tagger: a labelled sample and the card of a trained tagger."""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.records import Record

TAGGER_VERSION = 1


class Label(Record):
    """A stretch of text that somebody marked as personal data: characters [start, end)."""

    type: str
    start: int
    end: int
    sensitivity: str = ""
    """direct_identifier, quasi_identifier, sensitive_attribute, or "" where the set does not say."""


class Sample(Record):
    """A text with every label it should have. No labels: the text is known to hold no personal data."""

    id: str
    text: str
    spans: list[Label] = msgspec.field(default_factory=list)
    source: str = ""


class TaggerCard(Record):
    """What a tagger learnt from and how well it did on the samples kept back for choices (dev)."""

    types: list[str]
    threshold: float
    """A word is masked where the probability of "no personal data" falls below 1 - threshold."""
    n_train: int
    n_negatives: int
    """Training samples without a label."""
    n_dev: int
    spans_by_type: dict[str, int]
    """Labels in train, per type."""
    epochs: float
    """Passes over the training samples that were done; less than asked for where the deadline cut in."""
    cut: bool
    """True when the deadline ended training early: such a tagger cannot be reproduced from the seed alone."""
    train_s: float
    seed: int
    dev: dict[str, float] = msgspec.field(default_factory=dict)
    """char_recall, char_precision, char_f2, span_recall, over_masking at the threshold (over_masking: share of
    dev samples without a label in which something was found; absent where there are none)."""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    base_sha256: str = ""
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    """File name -> sha256 of every file of the tagger but the card itself."""
    sources: dict[str, int] = msgspec.field(default_factory=dict)
    """Sample source -> samples."""
    n_test: int = 0
    """Samples that neither training nor the threshold has seen; their wordings are in neither."""
    test: dict[str, float] = msgspec.field(default_factory=dict)
    """The figures of `dev` on the test samples, and those of direct identifiers; of the tagger as it is loaded (int8)."""
    test_union: dict[str, float] = msgspec.field(default_factory=dict)
    """The same for the tagger together with our rules."""
    version: int = TAGGER_VERSION

    def measured(self) -> str:
        """What was measured, as the end of a sentence: "measured recall x on set y"; "" where nothing was."""
        recall = (self.test_union or self.test).get("char_recall")
        if recall is None:
            return ""
        beside = " with the rules beside it" if self.test_union else ""
        return f"measured recall {recall:.3f}{beside} on {self.n_test:,} held-out samples of {', '.join(self.sources)}"
