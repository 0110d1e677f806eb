"""A labelled text: what a tagger is trained and measured on."""

from __future__ import annotations

import msgspec

from deputize.core.records import Record


class Label(Record):
    """Personal data that an annotator marked in a text: characters [start, end)."""

    type: str
    start: int
    end: int
    sensitivity: str = ""
    """direct_identifier, quasi_identifier, sensitive_attribute, or "" where the dataset does not say."""


class Sample(Record):
    """A text with all of its labels. Without labels the text is known to hold no personal data."""

    id: str
    text: str
    spans: list[Label] = msgspec.field(default_factory=list)
    source: str = ""
