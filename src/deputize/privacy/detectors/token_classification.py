"""Token-classification models of transformers as detectors, such as openai/privacy-filter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.privacy.call_texts import valid_unicode
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.hub_models import (
    THRESHOLD,
    first_line,
    locate_model,
    overlapping_chunks,
    window_size,
)
from deputize.privacy.detectors.spans import join_adjacent, merge_spans, trim_span
from deputize.privacy.entity_types import DIRECT, INDIRECT

_LABEL_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"e_?mail", "EMAIL_ADDRESS"),
    (r"phone|tele|fax|mobile", "PHONE_NUMBER"),
    (r"ssn|social_?sec", "US_SSN"),
    (r"credit_?card|card_?num|cvv|pan\b", "CREDIT_CARD"),
    (r"iban", "IBAN_CODE"),
    (r"mac\b|mac_?addr", "MAC_ADDRESS"),
    (r"\bip|ipv[46]|ip_?addr", "IP_ADDRESS"),
    (r"api_?key|token|secret|private_?key", "API_KEY"),
    (r"passw|pin\b|passcode", "PASSWORD"),
    (r"user_?name|login|handle|user_?id", "USERNAME"),
    (r"mrn|medical_?rec|health_?plan|patient_?id", "MEDICAL_RECORD"),
    (r"passport", "PASSPORT"),
    (r"driv", "DRIVER_LICENSE"),
    (r"licen[cs]e|certificate", "LICENSE_NUMBER"),
    (r"account|bank|routing|sort_?code", "BANK_ACCOUNT"),
    (r"policy|insurance", "POLICY_NUMBER"),
    (r"dob|birth", "DATE_OF_BIRTH"),
    (r"national|tax_?id|\btin\b|identity_?(?:card|num)|id_?num|id_?card", "NATIONAL_ID"),
    (r"case|docket", "CASE_NUMBER"),
    (r"street|address|zip|post_?code|building", "STREET_ADDRESS"),
    (r"date|time", "DATE_TIME"),
    (r"medic(?:ation|ine)|drug", "MEDICATION"),
    (r"condition|disease|diagnos|problem", "HEALTH_CONDITION"),
    (r"job|occupation|profession|title", "JOB_TITLE"),
    (r"^org|company|employer|hospital", "ORGANIZATION"),
    (r"^loc|^gpe|city|state|country|county|place", "LOCATION"),
    (r"^per|name|person|patient|doctor", "PERSON"),
)
"""(pattern in a label of a model, entity type), tried in this order."""
_NO_ENTITY = frozenset({"o", "", "misc", "none"})


def entity_type_of(label: str) -> str:
    """The entity type for a label of a model; an unknown label is kept, in capitals, and counts as direct.

    "" for labels that mark nothing personal (O, MISC).
    """
    plain = re.sub(r"^[BIESLU]-", "", label)
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).lower()).strip("_")
    if plain in DIRECT | INDIRECT:
        return plain
    if name in _NO_ENTITY:
        return ""
    return next((ours for part, ours in _LABEL_PATTERNS if re.search(part, name)), name.upper())


def group_entities(found: Sequence[Mapping[str, Any]], text: str) -> list[tuple[str, int, int, float]]:
    """The findings of the pipeline as (label, start, end, score), with the last word of an entity joined to its
    beginning.

    The pipeline knows the prefixes B- and I- only. For models that also mark ends (BIOES, such as
    openai/privacy-filter) it returns the last word of an entity as an entity of its own.
    """
    out: list[tuple[str, int, int, float]] = []
    for entity in found:
        label, start, end, score = (
            str(entity["entity_group"]),
            int(entity["start"]),
            int(entity["end"]),
            float(entity["score"]),
        )
        if out and label[:2] in ("E-", "L-"):
            last_label, first_start, last_end, last_score = out[-1]
            if (
                entity_type_of(last_label) == entity_type_of(label)
                and text[last_end:start].strip() == ""
                and start - last_end <= 1
            ):
                out[-1] = (last_label, first_start, end, min(last_score, score))
                continue
        out.append((label, start, end, score))
    return out


class TokenClassificationDetector:
    """A token-classification model as a detector, such as openai/privacy-filter or one of OpenMed."""

    def __init__(self, model: str, *, threshold: float = THRESHOLD) -> None:
        """Raises MissingExtra where transformers or the model is not here, BadInput where it is of another kind."""
        try:
            from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtra.package("transformers", "train") from error
        logging.disable_progress_bar()
        where, self.name = locate_model(model, kind="hub")
        self._threshold = threshold
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                where, local_files_only=True, trust_remote_code=False
            )
            network = AutoModelForTokenClassification.from_pretrained(
                where, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # third-party code may raise anything; the message says whose it is
            raise BadInput(
                f"{model} cannot be read as a token-classification model: {first_line(error)}"
            ) from error
        if not self._tokenizer.is_fast:
            raise BadInput(f"{model} has no fast tokenizer, so its findings have no positions in a text")
        labels = network.config.id2label
        if not any(entity_type_of(str(label)) for label in labels.values()):
            raise BadInput(f"{model} has no label for personal data")
        self._window = window_size(self._tokenizer, network.config)
        # the pipeline can decide by whole words only where the tokenizer marks the pieces inside a word
        has_word_pieces = getattr(self._tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
        self._pipeline: Any = pipeline(
            "token-classification",
            model=network,
            tokenizer=self._tokenizer,
            device=-1,
            aggregation_strategy="first" if has_word_pieces else "simple",
        )

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        for i, text in enumerate(texts):
            for start, chunk in overlapping_chunks(valid_unicode(text), self._fits):
                for label, first, last, score in group_entities(self._pipeline(chunk), chunk):
                    kind = entity_type_of(label)
                    if kind and score >= self._threshold:
                        out[i] += trim_span(text, kind, start + first, start + last, score, self.name)
        return [join_adjacent(merge_spans([spans]), text) for text, spans in zip(texts, out, strict=True)]

    def _fits(self, chunk: str) -> bool:
        return len(self._tokenizer(chunk, verbose=False)["input_ids"]) <= self._window
