"""Labelled samples: what is read, what is refused, and that likes stay together."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.privacy.tagger import Sample, read_samples, sample_of
from deputize.privacy.tagger.samples import SET_TYPES


def test_both_forms_are_read(tmp_path: Path) -> None:
    own = {"id": "a", "text": "Ann lives", "spans": [{"type": "PERSON", "start": 0, "end": 3}]}
    public = {
        "record_id": "b",
        "text": "call Bob",
        "annotations": [
            {"entity_type": "PERSON_NAME", "start": 5, "end": 8, "sensitivity_class": "direct_identifier"}
        ],
    }
    plain = {"id": "c", "text": "nothing here"}
    path = tmp_path / "mine.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(json.dumps(row) for row in (own, public, plain)) + "\n\n")
    found = [s for s in read_samples(path, rename=SET_TYPES) if isinstance(s, Sample)]
    assert [(s.id, s.source, [(x.type, x.start, x.end) for x in s.spans]) for s in found] == [
        ("a", "mine", [("PERSON", 0, 3)]),
        ("b", "mine", [("PERSON", 5, 8)]),
        ("c", "mine", []),
    ]
    assert found[1].spans[0].sensitivity == "direct_identifier"


def test_bad_lines_are_named_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"id": "a", "text": "fine"}\nnot json\n[1]\n{"id": "z", "text": "ab", "spans": [{"type": "P", "start": 1, "end": 9}]}\n'
    )
    found = list(read_samples(path))
    skips = [x for x in found if isinstance(x, Skip)]
    assert [(s.line, s.file) for s in skips] == [(2, str(path)), (3, str(path)), (4, str(path))]
    assert skips[0].reason == "not JSON" and "outside its text" in skips[2].reason
    assert sum(isinstance(s, Sample) for s in found) == 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        list(read_samples(tmp_path / "none.jsonl"))
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"\x1f\x8b\x08\x00garbage")
    with pytest.raises(BadInput, match="cannot be read"):
        list(read_samples(broken))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "needs a text"),
        ({"text": 3}, "needs a text"),
        ({"text": "a", "spans": {"type": "P"}}, "list of objects"),
        ({"text": "a", "spans": ["P"]}, "each span has to be an object"),
        ({"text": "a", "spans": [{"type": "P", "start": 0}]}, "start and end"),
        ({"text": "a", "spans": [{"type": "P", "start": True, "end": 1}]}, "start and end"),
        ({"text": "a", "spans": [{"type": "", "start": 0, "end": 1}]}, "needs type"),
        ({"text": "a", "spans": [{"type": "P", "start": -1, "end": 1}]}, "outside its text"),
    ],
)
def test_refused_samples(row: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        sample_of(row)
