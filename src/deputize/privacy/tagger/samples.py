"""Reads labelled samples from JSONL files, in our form and in that of the public datasets."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.privacy.tagger.labelled_text import Label, Sample

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
"""Label of the public datasets -> entity type; labels that are not here are the same in both."""


def sample_of(row: Mapping[str, Any], *, rename: Mapping[str, str] | None = None, source: str = "") -> Sample:
    """A sample from {"id", "text", "spans": [{"type", "start", "end"}]}, or from the form of the public datasets
    ({"record_id", "text", "annotations": [{"entity_type", "start", "end", "sensitivity_class"}]}).

    Overlapping labels are kept; empty ones are dropped.

    Args:
        row: one object.
        rename: label type -> the type to use instead.
        source: where the row came from, for the card.

    Raises:
        BadInput: no text, or a label that does not lie inside the text; the message says which.
    """
    text = row.get("text")
    if not isinstance(text, str):
        raise BadInput("a sample needs a text of type string")
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    name = str(row.get("id") or row.get("record_id") or digest)
    spans = row.get("spans", row.get("annotations")) or []
    if not isinstance(spans, list):
        raise BadInput(f"sample {name}: spans has to be a list of objects")
    labels = [_label_of(span, name, text, rename or {}) for span in spans]
    labels = sorted((one for one in labels if one.start < one.end), key=lambda one: (one.start, one.end))
    return Sample(id=name, text=text, spans=labels, source=source or str(row.get("source") or ""))


def _label_of(span: Any, sample: str, text: str, rename: Mapping[str, str]) -> Label:
    """A label from an object of a sample. Raises BadInput where it is malformed or outside of the text."""
    if not isinstance(span, Mapping):
        raise BadInput(f"sample {sample}: each span has to be an object with type, start and end")
    kind, start, end = span.get("type", span.get("entity_type")), span.get("start"), span.get("end")
    if not isinstance(kind, str) or not kind or type(start) is not int or type(end) is not int:
        raise BadInput(f"sample {sample}: each span needs type (string), start and end (whole numbers)")
    if not 0 <= start <= end <= len(text):
        raise BadInput(
            f"sample {sample}: a span [{start}, {end}) lies outside its text of {len(text)} characters"
        )
    sensitivity = str(span.get("sensitivity") or span.get("sensitivity_class") or "")
    return Label(type=rename.get(kind, kind), start=start, end=end, sensitivity=sensitivity)


def read_samples(
    path: Path, *, rename: Mapping[str, str] | None = None, source: str = ""
) -> Iterator[Sample | Skip]:
    """The samples of a JSONL file (plain or .gz), and a Skip for each line that is not a sample.

    Raises:
        BadInput: the file cannot be opened or unpacked.
    """
    source = source or path.name.removesuffix(".gz").removesuffix(".jsonl")
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parse_line(line, number, path, rename, source)
    except (OSError, EOFError) as error:
        raise BadInput(f"{path} cannot be read as labelled samples: {error}") from error


def _parse_line(
    line: bytes, number: int, path: Path, rename: Mapping[str, str] | None, source: str
) -> Sample | Skip:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise BadInput("a line has to be one JSON object")
        return sample_of(row, rename=rename, source=source)
    except (ValueError, RecursionError):
        return Skip(file=str(path), line=number, reason="not JSON")
    except BadInput as error:
        return Skip(file=str(path), line=number, reason=str(error))
