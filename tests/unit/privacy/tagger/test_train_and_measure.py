"""From files of samples to splits and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.tiny_encoder import samples

from deputize.core.errors import BadInput
from deputize.privacy.detectors.base import Span
from deputize.privacy.tagger.labelled_text import Label, Sample
from deputize.privacy.tagger.train_and_measure import MIN_LABELLED, load_samples, measure, split_samples


def test_equal_texts_count_once_and_too_few_are_refused(tmp_path: Path) -> None:
    row = {"spans": [{"type": "CODE", "start": 0, "end": 4}]}
    path = tmp_path / "s.jsonl"
    path.write_text(
        "\n".join(json.dumps({**row, "text": f"{1000 + n}"}) for n in range(MIN_LABELLED)) + "\nnot JSON"
    )
    found, skipped = load_samples([path, path])
    assert len(found) == MIN_LABELLED and [s.reason for s in skipped] == ["not JSON", "not JSON"]
    path.write_text(json.dumps({**row, "text": "1000"}) + "\nnot JSON")
    with pytest.raises(BadInput, match=r"1 samples with spans are too few.*First skipped line"):
        load_samples([path])


def test_every_sample_is_in_one_split() -> None:
    everything = samples(100, 1)
    parts = split_samples(everything, 0)
    assert sum(map(len, parts)) == len(everything) and all(parts)
    assert parts == split_samples(everything, 0) != split_samples(everything, 1)


def test_figures_are_of_the_merged_findings() -> None:
    class Finds:
        def __init__(self, start: int, end: int) -> None:
            self.name, self.at = "x", (start, end)

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [[Span("PERSON", *self.at, 0.9, "x")] for _ in texts]

    sample = Sample(id="a", text="Ann Lee", spans=[Label(type="PERSON", start=0, end=7)])
    assert measure([sample], [Finds(0, 3)])["char_recall"] == 0.5
    both = measure([sample], [Finds(0, 3), Finds(4, 7)])
    assert both["char_recall"] == 1.0 and "over_masking" not in both
