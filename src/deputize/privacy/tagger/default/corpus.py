"""Labelled real lines by licence and by part: training, validation, held out."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zlib import crc32

from deputize.core.errors import BadInput
from deputize.privacy.tagger.labelled_text import Sample
from deputize.privacy.tagger.samples import sample_of

Part = Literal["training", "validation", "held out"]
BLOCK_LINES = 50
"""Where lines name no document, so many that follow each other in a source count as one."""
UTTERANCES = "intent_clinc150.jsonl.gz"
UTTERANCES_SOURCE, UTTERANCES_LICENCE = "clinc/oos-eval: utterances of the training part", "CC BY 3.0"
UTTERANCES_COVER = frozenset(["PERSON"])
"""They name places, dates and firms, without labels."""
SHIPPABLE = ("CC0", "CC BY 3.0", "CC BY 4.0", "MIT")
"""Licences whose lines weights that ship may be trained on; "CC BY-SA" and "ask" are not among them."""


class CorpusLine(NamedTuple):
    """A labelled line and what is known of it."""

    sample: Sample
    covers: frozenset[str]
    """The types that are labelled wherever they occur."""
    language: str
    part: Part
    document: str
    source: str
    licence: str

    @property
    def may_ship(self) -> bool:
        """True where weights that ship may learn from it."""
        return self.licence in SHIPPABLE


def read_corpus(folder: Path) -> Iterator[CorpusLine]:
    """The lines of LANGUAGE.jsonl.gz files, each with its part: a document lies in one part as a whole.

    Raises:
        BadInput: there are no such files, or one cannot be read.
    """
    paths = sorted(folder.glob("*.jsonl.gz"))
    if not paths:
        raise BadInput(f"{folder} holds no LANGUAGE.jsonl.gz")
    for path in paths:
        seen: dict[str, int] = {}
        try:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    yield _corpus_line(json.loads(line), seen)
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise BadInput(f"{path} cannot be read as labelled lines: {error}") from error


def read_utterances(folder: Path, n: int, seed: int) -> list[Sample]:
    """`n` requests to an assistant from the training part of CLINC150: small letters, hardly a name. None where the
    file is not there.

    Raises:
        BadInput: it cannot be read.
    """
    path = folder / UTTERANCES
    if not path.exists():
        return []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [row for row in map(json.loads, lines) if row["split"] in ("train", "oos_train")]
        texts = sorted({str(row["messages"][-1]["content"]) for row in rows})
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"{path} cannot be read as utterances: {error}") from error
    chosen = random.Random(seed).sample(texts, min(n, len(texts)))
    return [Sample(id=f"utterance-{i}", text=text, source="clean") for i, text in enumerate(chosen)]


def _corpus_line(row: dict[str, Any], seen: dict[str, int]) -> CorpusLine:
    source = str(row["source"])
    number = seen[source] = seen.get(source, -1) + 1
    document = str(row.get("doc") or f"{source}/{number // BLOCK_LINES}")
    return CorpusLine(
        sample_of(row),
        frozenset(row["covers"]),
        str(row["lang"]),
        part_of(document),
        document,
        source,
        str(row["licence"]),
    )


def part_of(document: str) -> Part:
    """The part of a document, by its name: 8 % validation, 12 % held out."""
    at = crc32(document.encode()) % 100
    return "held out" if at < 12 else "validation" if at < 20 else "training"
