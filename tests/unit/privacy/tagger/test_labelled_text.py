"""Labelled texts come back from JSON as they went in."""

from __future__ import annotations

from deputize.core.records import decode, encode
from deputize.privacy.tagger.labelled_text import Label, Sample


def test_a_sample_survives_json() -> None:
    sample = Sample(
        id="a", text="Ann", spans=[Label(type="PERSON", start=0, end=3, sensitivity="direct_identifier")]
    )
    assert decode(encode(sample), Sample) == sample
    assert decode(b'{"id": "b", "text": "x"}', Sample).spans == []
