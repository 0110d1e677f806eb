"""Models of a hub as detectors: where they lie, how texts are cut for them, and token classification with transformers.

A model is a folder, one that was taken in with `deputize models add`, or OWNER/NAME@COMMIT of a hub. None of them is
needed, shipped or chosen by default: their weights are the user's to fetch, and their licence the user's to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.locations import models_path
from deputize.privacy.detectors.base import DIRECT, INDIRECT, Span, union, whole
from deputize.privacy.tagger.encoding import joined
from deputize.specialists import catalogue, model_download

THRESHOLD = 0.5
CHUNK_CHARS = 1200
"""Characters read at once: some 300 tokens of prose, 500 of numbers. Where they are more than a window, less is read."""
OVERLAP_CHARS = 200
NO_WINDOW = 1 << 20
"""Tokens; tokenizers that know no limit state one of thirty digits."""

_TYPES: tuple[tuple[str, str], ...] = (
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


def pieces(text: str, fits: Callable[[str], bool] = lambda piece: True) -> list[tuple[int, str]]:
    """(start, piece) of a text in pieces of CHUNK_CHARS at most, cut at white space where there is some; neighbours
    share up to OVERLAP_CHARS, so that a value at a cut is whole in one of them.

    A piece that does not fit is made shorter until it does: models read no further than their window, and say nothing.

    Args:
        text: any text.
        fits: whether a piece fits into the model's window.
    """
    out: list[tuple[int, str]] = []
    start = 0
    while start < len(text):
        end = _cut(text, start, CHUNK_CHARS)
        while end - start > 1 and not fits(text[start:end]):
            end = _cut(text, start, (end - start) // 2)
        if any(c.isalnum() for c in text[start:end]):
            out.append((start, text[start:end]))
        if end == len(text):
            break
        start = end - min(OVERLAP_CHARS, (end - start) // 4)
        # the rest of a word is no word: to a model it looks like a name or a number
        start = min((at for mark in " \n" if (at := text.find(mark, start, end)) >= 0), default=start)
    return out


def _cut(text: str, start: int, size: int) -> int:
    """Where a piece of `size` characters at most ends: at the last white space of its second half, if there is one."""
    end = start + size
    if end >= len(text):
        return len(text)
    cut = max(text.rfind(mark, start + size // 2 + 1, end) for mark in " \n")
    return cut if cut > 0 else end


def window(tokenizer: Any, config: Any) -> int:
    """Tokens that a model reads at once, by its tokenizer and the places it has vectors for."""
    places = getattr(config, "max_position_embeddings", None) or NO_WINDOW
    # RoBERTa and its kin count places from 2 on
    return min(int(tokenizer.model_max_length), int(places) - 2, NO_WINDOW)


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
        where, self.name = located(model, kind="hub")
        self._threshold = threshold
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                where, local_files_only=True, trust_remote_code=False
            )
            network = AutoModelForTokenClassification.from_pretrained(
                where, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # somebody else's code: whatever it raises, the user reads whose it is
            raise BadInput(
                f"{model} cannot be read as a token-classification model: {first_line(error)}"
            ) from error
        if not self._tokenizer.is_fast:
            raise BadInput(f"{model} has no fast tokenizer, so that its findings cannot be placed in a text")
        labels = network.config.id2label
        if not any(type_of(str(label)) for label in labels.values()):
            raise BadInput(f"{model} has no label that marks anything")
        self._window = window(self._tokenizer, network.config)
        # only a tokenizer that marks the insides of words lets the pipeline decide by whole words
        by_word = getattr(self._tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
        self._read: Any = pipeline(
            "token-classification",
            model=network,
            tokenizer=self._tokenizer,
            device=-1,
            aggregation_strategy="first" if by_word else "simple",
        )

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        for i, text in enumerate(texts):
            for start, piece in pieces(whole(text), self._fits):
                for label, first, last, score in grouped(self._read(piece), piece):
                    kind = type_of(label)
                    if kind and score >= self._threshold:
                        out[i] += trimmed(text, kind, start + first, start + last, score, self.name)
        return [joined(union([spans]), text) for text, spans in zip(texts, out, strict=True)]

    def _fits(self, piece: str) -> bool:
        return len(self._tokenizer(piece, verbose=False)["input_ids"]) <= self._window


def located(model: str, *, kind: str, config: str = "config.json") -> tuple[Path, str]:
    """The folder of a model, and the name of a detector made of it, which says what weights it has where that is known.

    Args:
        model: a folder, a name under the fetched models, or OWNER/NAME@COMMIT of a hub, which is fetched.
        kind: hub or gliner.
        config: the file without which a folder is no model of that kind.

    Raises:
        BadInput: a folder without that file, or a hub's repository without a commit.
        MissingExtra: the model is not here and cannot be fetched.
        Tampered: the weights of a fetched model are not those that were fetched.
    """
    folder = next((p for p in (Path(model), models_path() / model) if p.is_dir()), None)
    if folder is not None:
        if not (folder / config).is_file():
            raise BadInput(f"The folder {folder} holds no {config}, so {kind}:{model} cannot be read from it")
        digest = catalogue.weights_digest(folder)
        return folder, f"{kind}:{model}@{digest[:12]}" if digest else f"{kind}:{model}"
    asked = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@(.*))?", model)
    if asked is None:
        raise MissingExtra(
            f"The model {model} is not on this machine. Put its folder here with `deputize models add NAME FOLDER`, then "
            f"name it as {kind}:NAME."
        )
    repository, commit = asked.groups()
    if not re.fullmatch(r"[0-9a-f]{40}", commit or ""):
        raise BadInput(
            f"There is no folder {model}. If a hub's repository is meant, say in which state, by the 40 digits that its list "
            f"of commits shows: {kind}:{repository}@COMMIT. Otherwise its weights could change from run to run."
        )
    folder = model_download.fetch_commit(repository, commit, models_path())
    if not (folder / config).is_file():
        raise BadInput(f"{model} holds no {config}, so it is no model for {kind}:")
    catalogue.weights_digest(folder)
    return folder, f"{kind}:{model}"


def first_line(error: Exception) -> str:
    """What went wrong, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def trimmed(text: str, kind: str, start: int, end: int, score: float, name: str) -> list[Span]:
    """The span without white space at its ends, which some tokenizers count in; [] where nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return [Span(kind, start, end, round(min(score, 1.0), 4), name)] if start < end else []
