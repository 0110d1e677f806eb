"""Labelled samples: reading them, and splitting them so that near-copies stay on one side.

Synthetic sets of personal data are made from a few dozen templates. A split by record then measures little more than
how well the templates were learnt by heart, so samples can also be grouped into families of like wording.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.privacy.tagger.card import Label, Sample

_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"<[A-Z_]+>|\w+|[^\w\s]")
_HEX = re.compile(r"\b(?=\w*\d)(?:[0-9a-f]{12,}|[0-9a-f]{2}(?::[0-9a-f]{2}){5})\b", re.IGNORECASE)

T = TypeVar("T")

SET_TYPES: dict[str, str] = {
    "PERSON_NAME": "PERSON",
    "SOCIAL_SECURITY_NUMBER": "US_SSN",
    "TIMESTAMP": "DATE_TIME",
    "ORGANIZATION_NAME": "ORGANIZATION",
    "MEDICAL_RECORD_NUMBER": "MEDICAL_RECORD",
    "COURT_CASE_NUMBER": "CASE_NUMBER",
    "DOCKET_NUMBER": "CASE_NUMBER",
    "BAR_NUMBER": "LICENSE_NUMBER",
    "DRIVER_LICENSE_NUMBER": "DRIVER_LICENSE",
    "NATIONAL_ID_NUMBER": "NATIONAL_ID",
    "PASSPORT_NUMBER": "PASSPORT",
    "BANK_ACCOUNT_NUMBER": "BANK_ACCOUNT",
    "MEDICATION_NAME": "MEDICATION",
}
"""Label names of the public sets -> the types our detectors speak of; names that are not here are the same in both."""


def sample_of(row: Mapping[str, Any], *, rename: Mapping[str, str] | None = None, source: str = "") -> Sample:
    """A sample from {"id", "text", "spans": [{"type", "start", "end"}]}, or from the form of the public sets
    ({"record_id", "text", "annotations": [{"entity_type", "start", "end", "sensitivity_class"}]}).

    Overlapping labels are kept; empty ones are dropped.

    Args:
        row: one object.
        rename: label type -> the type to use instead.
        source: where the row came from, for the card.

    Raises:
        BadInput: no text, or a label that does not lie inside the text; the sentence says which.
    """
    text = row.get("text")
    if not isinstance(text, str):
        raise BadInput("a sample needs a text of type string")
    name = str(
        row.get("id") or row.get("record_id") or hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    )
    found = row.get("spans", row.get("annotations")) or []
    if not isinstance(found, list):
        raise BadInput(f"sample {name}: spans has to be a list of objects")
    labels = []
    for span in found:
        if not isinstance(span, Mapping):
            raise BadInput(f"sample {name}: each span has to be an object with type, start and end")
        kind, start, end = span.get("type", span.get("entity_type")), span.get("start"), span.get("end")
        if not isinstance(kind, str) or not kind or type(start) is not int or type(end) is not int:
            raise BadInput(f"sample {name}: each span needs type (string), start and end (whole numbers)")
        if not 0 <= start <= end <= len(text):
            raise BadInput(
                f"sample {name}: a span [{start}, {end}) lies outside its text of {len(text)} characters"
            )
        if start < end:
            kind = (rename or {}).get(kind, kind)
            sensitivity = str(span.get("sensitivity") or span.get("sensitivity_class") or "")
            labels.append(Label(type=kind, start=start, end=end, sensitivity=sensitivity))
    labels.sort(key=lambda s: (s.start, s.end))
    return Sample(id=name, text=text, spans=labels, source=source or str(row.get("source") or ""))


def read_samples(
    path: Path, *, rename: Mapping[str, str] | None = None, source: str = ""
) -> Iterator[Sample | Skip]:
    """The samples of a JSONL file (plain or .gz), and a Skip for each line that is none.

    Raises:
        BadInput: the file cannot be opened or unpacked.
    """
    source = source or path.name.removesuffix(".gz").removesuffix(".jsonl")
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise BadInput("a line has to be one JSON object")
                    yield sample_of(row, rename=rename, source=source)
                except (ValueError, RecursionError):
                    yield Skip(file=str(path), line=number, reason="not JSON")
                except BadInput as error:
                    yield Skip(file=str(path), line=number, reason=str(error))
    except (OSError, EOFError) as error:
        raise BadInput(f"{path} cannot be read as labelled samples: {error}") from error


def skeleton(sample: Sample) -> str:
    """The wording of a sample: labels as <TYPE>, digits as 0, long hexadecimal runs as <HEX>, white space folded."""
    parts, at = [], 0
    for span in sample.spans:
        if span.start >= at:
            parts += [sample.text[at : span.start], f"<{span.type}>"]
            at = span.end
    parts.append(sample.text[at:])
    return " ".join(_DIGITS.sub("0", _HEX.sub("<HEX>", "".join(parts))).split())


def families(samples: Sequence[Sample], *, likeness: float = 0.5) -> list[int]:
    """A family number per sample: the same number where the wording is alike, directly or through a chain.

    Two skeletons are alike when the Jaccard index of their sets of three successive words reaches `likeness`.
    """
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    shapes: dict[str, int] = {}
    shape_of = [shapes.setdefault(skeleton(s), len(shapes)) for s in samples]
    vocabulary: dict[tuple[str, ...], int] = {}
    rows, columns = [], []
    for shape, row in shapes.items():
        words = ["^", *_WORD.findall(shape.lower()), "$"]
        # a text of one word still has one shingle, so that it is alike to its copies only
        for shingle in {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}:
            rows.append(row)
            columns.append(vocabulary.setdefault(shingle, len(vocabulary)))
    if not shapes:
        return []
    incidence = csr_matrix(
        (np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=(len(shapes), len(vocabulary))
    )
    sizes = np.asarray(incidence.sum(axis=1)).ravel()
    shared = (incidence @ incidence.T).tocoo()
    union = sizes[shared.row] + sizes[shared.col] - shared.data
    alike = shared.data >= likeness * union
    graph = csr_matrix((alike[alike], (shared.row[alike], shared.col[alike])), shape=shared.shape)
    _, family = connected_components(graph, directed=False)
    return [int(family[shape]) for shape in shape_of]


def split(groups: Sequence[int | str], shares: Sequence[float], seed: int) -> list[int]:
    """A side per item (an index into `shares`), every group on one side, sides as near to their shares as groups allow.

    Groups are taken in an order that depends on the seed only, each to the side that lacks most. Deterministic.
    """
    members: dict[int | str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    order = sorted(members, key=lambda g: hashlib.blake2b(f"{seed}|{g}".encode(), digest_size=8).digest())
    filled = [0.0] * len(shares)
    sides = [0] * len(groups)
    for group in order:
        side = max(range(len(shares)), key=lambda i: shares[i] * len(groups) - filled[i])
        filled[side] += len(members[group])
        for index in members[group]:
            sides[index] = side
    return sides


def only(items: Iterable[T | Skip]) -> list[T]:
    """The items that are not a Skip."""
    return [item for item in items if not isinstance(item, Skip)]
