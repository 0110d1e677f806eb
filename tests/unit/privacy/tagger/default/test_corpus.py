"""Real lines by licence and part."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.privacy.tagger.default.corpus import UTTERANCES, part_of, read_corpus, read_utterances


def write(folder: Path, rows: list[dict[str, object]]) -> Path:
    with gzip.open(folder / "en.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def row(number: int, **more: object) -> dict[str, object]:
    return {
        "id": str(number),
        "text": f"line {number}",
        "spans": [],
        "lang": "en",
        "source": "made",
        "licence": "CC0",
        "covers": ["PERSON"],
        **more,
    }


def test_only_lines_under_free_licences_may_ship(tmp_path: Path) -> None:
    licences = [
        "CC0",
        "CC BY 4.0",
        "CC BY 3.0",
        "MIT",
        "CC BY-SA 4.0",
        "CC BY-SA 3.0",
        "CC BY 4.0 (derived data); ask",
        "",
    ]
    lines = list(read_corpus(write(tmp_path, [row(i, licence=name) for i, name in enumerate(licences)])))
    assert [line.may_ship for line in lines] == [True] * 4 + [False] * 4
    assert lines[0].covers == {"PERSON"} and lines[0].language == "en"


def test_a_document_lies_in_one_part(tmp_path: Path) -> None:
    rows = [row(i, doc=f"d{i % 40}") for i in range(400)] + [row(i) for i in range(2000)]
    lines = list(read_corpus(write(tmp_path, rows)))
    by_document = {i % 40: set[str]() for i in range(400)}
    for i, line in enumerate(lines[:400]):
        by_document[i % 40].add(line.part)
    assert all(len(parts) == 1 for parts in by_document.values())
    blocks = [{line.part for line in lines[at : at + 50]} for at in range(400, 2400, 50)]
    assert all(len(parts) == 1 for parts in blocks)


def test_shares_of_the_parts() -> None:
    shares = Counter(part_of(f"document {i}") for i in range(10_000))
    assert 0.10 < shares["held out"] / 10_000 < 0.14 and 0.06 < shares["validation"] / 10_000 < 0.10


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no LANGUAGE\.jsonl\.gz"):
        list(read_corpus(tmp_path))
    (tmp_path / "de.jsonl.gz").write_bytes(b"not packed")
    with pytest.raises(BadInput, match="cannot be read as labelled lines"):
        list(read_corpus(tmp_path))


def test_utterances_of_the_training_part_only(tmp_path: Path) -> None:
    rows = [
        {"split": split, "messages": [{"role": "user", "content": f"{split} {i}"}]}
        for split in ("train", "oos_train", "val", "test")
        for i in range(3)
    ]
    with gzip.open(tmp_path / UTTERANCES, "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    found = [sample.text for sample in read_utterances(tmp_path, 100, 0)]
    assert sorted(found) == [f"{s} {i}" for s in ("oos_train", "train") for i in range(3)]
    assert len(read_utterances(tmp_path, 2, 0)) == 2 and read_utterances(tmp_path / "none", 2, 0) == []
    (tmp_path / UTTERANCES).write_bytes(b"no gzip")
    with pytest.raises(BadInput, match="utterances"):
        read_utterances(tmp_path, 2, 0)
