"""Detectors made from models of a hub: token classification through transformers, and GLiNER.

A model is a folder, one that was taken in with `deputize models add`, or the name of a hub's repository. None of them is
needed, shipped or chosen by default: their weights are the user's to fetch, and their licence the user's to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deputize.core.config import models_path
from deputize.core.errors import BadInput, MissingExtra
from deputize.stages.curate.detect import DIRECT, INDIRECT, Span, union, whole
from deputize.stages.curate.tagger.encoding import joined

THRESHOLD = 0.5
CHUNK_CHARS = 1200
"""Characters read at once: some 300 tokens of prose, 500 of numbers, so that no encoder's window overflows."""
OVERLAP_CHARS = 200

_TYPES: tuple[tuple[str, str], ...] = (
    (r"e_?mail", "EMAIL_ADDRESS"), (r"phone|tele|fax|mobile", "PHONE_NUMBER"), (r"ssn|social_?sec", "US_SSN"),
    (r"credit_?card|card_?num|cvv|pan\b", "CREDIT_CARD"), (r"iban", "IBAN_CODE"), (r"mac\b|mac_?addr", "MAC_ADDRESS"),
    (r"\bip|ipv[46]|ip_?addr", "IP_ADDRESS"), (r"api_?key|token|secret|private_?key", "API_KEY"),
    (r"passw|pin\b|passcode", "PASSWORD"), (r"user_?name|login|handle|user_?id", "USERNAME"),
    (r"mrn|medical_?rec|health_?plan|patient_?id", "MEDICAL_RECORD"), (r"passport", "PASSPORT"),
    (r"driv", "DRIVER_LICENSE"), (r"licen[cs]e|certificate", "LICENSE_NUMBER"),
    (r"account|bank|routing|sort_?code", "BANK_ACCOUNT"), (r"policy|insurance", "POLICY_NUMBER"),
    (r"dob|birth", "DATE_OF_BIRTH"), (r"national|tax_?id|\btin\b|identity_?(?:card|num)|id_?num|id_?card", "NATIONAL_ID"),
    (r"case|docket", "CASE_NUMBER"), (r"street|address|zip|post_?code|building", "STREET_ADDRESS"),
    (r"date|time", "DATE_TIME"), (r"medic(?:ation|ine)|drug", "MEDICATION"),
    (r"condition|disease|diagnos|problem", "HEALTH_CONDITION"), (r"job|occupation|profession|title", "JOB_TITLE"),
    (r"^org|company|employer|hospital", "ORGANIZATION"),
    (r"^loc|^gpe|city|state|country|county|place", "LOCATION"),
    (r"^per|name|person|patient|doctor", "PERSON"),
)  # fmt: skip
"""Parts of a model's label names, tried in this order -> our types."""
_NOTHING = frozenset({"o", "", "misc", "none"})


def type_of(label: str) -> str:
    """Our type for a model's label; a label that says nothing we know stays, in capitals, and counts as direct.

    "" for labels that mark nothing personal (O, MISC).
    """
    plain = re.sub(r"^[BIESLU]-", "", label)
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).lower()).strip("_")
    if plain in DIRECT | INDIRECT:
        return plain
    if name in _NOTHING:
        return ""
    return next((ours for part, ours in _TYPES if re.search(part, name)), name.upper())


def pieces(text: str) -> list[tuple[int, str]]:
    """(start, piece) of a text in pieces of CHUNK_CHARS at most, cut at white space where there is some; neighbours
    share OVERLAP_CHARS, so that a value at a cut is whole in one of them."""
    if len(text) <= CHUNK_CHARS:
        return [(0, text)] if any(c.isalnum() for c in text) else []
    out: list[tuple[int, str]] = []
    start = 0
    while start < len(text):
        end = start + CHUNK_CHARS
        if end < len(text):
            cut = max(
                text.rfind(" ", start + CHUNK_CHARS // 2, end),
                text.rfind("\n", start + CHUNK_CHARS // 2, end),
            )
            end = cut if cut > 0 else end
        if any(c.isalnum() for c in text[start:end]):
            out.append((start, text[start:end]))
        if end >= len(text):
            break
        start = end - OVERLAP_CHARS
    return out


def grouped(found: Sequence[Mapping[str, Any]], text: str) -> list[tuple[str, int, int, float]]:
    """What the pipeline found as (label, start, end, score), with the last words of entities put to their beginnings.

    The pipeline knows B- and I- only: of models that also mark ends (BIOES, as openai/privacy-filter does) it gives the
    last word of an entity as one of its own.
    """
    out: list[tuple[str, int, int, float]] = []
    for one in found:
        label, start, end, score = (
            str(one["entity_group"]),
            int(one["start"]),
            int(one["end"]),
            float(one["score"]),
        )
        if out and label[:2] in ("E-", "L-"):
            before, earlier, upto, sure = out[-1]
            if type_of(before) == type_of(label) and text[upto:start].strip() == "" and start - upto <= 1:
                out[-1] = (before, earlier, end, min(sure, score))
                continue
        out.append((label, start, end, score))
    return out


class HubDetector:
    """A token-classification model as a detector, such as openai/privacy-filter or one of OpenMed."""

    def __init__(self, model: str, *, threshold: float = THRESHOLD) -> None:
        """Raises MissingExtra where transformers or the model is not here, BadInput where it is of another kind."""
        try:
            from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
        except ImportError as error:
            raise MissingExtra.package("transformers", "train") from error
        self.name = f"hub:{model}"
        self._threshold = threshold
        where = _folder(model) or model
        try:
            tokenizer = AutoTokenizer.from_pretrained(where)
            network = AutoModelForTokenClassification.from_pretrained(where)
        except OSError as error:
            raise MissingExtra(_not_here(model)) from error
        except (ValueError, KeyError) as error:
            raise BadInput(f"{model} cannot be read as a token-classification model: {error}") from error
        if not tokenizer.is_fast:
            raise BadInput(f"{model} has no fast tokenizer, so that its findings cannot be placed in a text")
        labels = network.config.id2label
        if not any(type_of(str(label)) for label in labels.values()):
            raise BadInput(f"{model} has no label that marks anything")
        # only a tokenizer that marks the insides of words lets the pipeline decide by whole words
        by_word = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
        self._read: Any = pipeline(
            "token-classification", model=network, tokenizer=tokenizer, device=-1,
            aggregation_strategy="first" if by_word else "simple",
        )  # fmt: skip

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        for i, text in enumerate(texts):
            for start, piece in pieces(text):
                for label, first, last, score in grouped(self._read(whole(piece)), piece):
                    kind = type_of(label)
                    if kind and score >= self._threshold:
                        out[i] += _trimmed(text, kind, start + first, start + last, score, self.name)
        return [joined(union([spans]), text) for text, spans in zip(texts, out, strict=True)]


class GlinerDetector:
    """A GLiNER model (Zaratiana et al. 2023, arXiv 2311.08526), asked for our types in words."""

    def __init__(self, model: str, *, threshold: float = THRESHOLD) -> None:
        """Raises MissingExtra where the package or the model is not here."""
        try:
            from gliner import GLiNER
        except ImportError:
            raise MissingExtra(
                "gliner is not installed. Install it with: pip install gliner (its version of transformers may differ from "
                "the one that training needs: take an environment of its own)"
            ) from None
        self.name = f"gliner:{model}"
        self._threshold = threshold
        try:
            self._model: Any = GLiNER.from_pretrained(str(_folder(model) or model))
        except OSError as error:
            raise MissingExtra(_not_here(model)) from error
        self._labels = {kind.lower().replace("_", " "): kind for kind in sorted(DIRECT | INDIRECT)}

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        for i, text in enumerate(texts):
            for start, piece in pieces(text):
                for found in self._model.predict_entities(
                    whole(piece), list(self._labels), threshold=self._threshold
                ):
                    out[i] += _trimmed(
                        text, self._labels[found["label"]], start + found["start"], start + found["end"],
                        float(found["score"]), self.name,
                    )  # fmt: skip
        return [joined(union([spans]), text) for text, spans in zip(texts, out, strict=True)]


def _folder(model: str) -> Path | None:
    """Where a model lies on this machine: a folder, or a name under the fetched models."""
    return next((p for p in (Path(model), models_path() / model) if (p / "config.json").is_file()), None)


def _not_here(model: str) -> str:
    return (
        f"The model {model} is not on this machine and cannot be fetched from here. Put its folder here with "
        "`deputize models add NAME FOLDER`, then name it as hub:NAME."
    )


def _trimmed(text: str, kind: str, start: int, end: int, score: float, name: str) -> list[Span]:
    """The span without white space at its ends, which some tokenizers count in; [] where nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return [Span(kind, start, end, round(min(score, 1.0), 4), name)] if start < end else []
