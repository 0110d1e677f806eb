"""GLiNER models as detectors: encoders that find whatever types they are asked for in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.privacy.detectors.base import DIRECT, INDIRECT, Span, union, whole
from deputize.privacy.detectors.token_classification import (
    THRESHOLD,
    first_line,
    located,
    pieces,
    trimmed,
    window,
)
from deputize.privacy.tagger.encoding import joined

BATCH = 8
"""Pieces that go through the encoder together."""

_WORDS = {
    "US_SSN": "social security number",
    "CREDIT_CARD": "credit card number",
    "IBAN_CODE": "iban",
    "MEDICAL_RECORD": "medical record number",
    "BANK_ACCOUNT": "bank account number",
    "PASSPORT": "passport number",
    "DRIVER_LICENSE": "driver's license number",
    "NATIONAL_ID": "national id number",
    "CRYPTO": "cryptocurrency wallet address",
    "DATE_TIME": "date",
    "HEALTH_CONDITION": "medical condition",
}
"""Types whose own name, in small letters, is not what a model would have been trained with."""

LABELS = {_WORDS.get(kind, kind.lower().replace("_", " ")): kind for kind in sorted(DIRECT | INDIRECT)}
"""What a model is asked for -> our type."""


class GlinerDetector:
    """A GLiNER model (Zaratiana et al. 2023, arXiv 2311.08526), asked for our types."""

    def __init__(self, model: str, *, threshold: float = THRESHOLD) -> None:
        """Raises MissingExtra where the package or the model is not here, BadInput where it is of another kind."""
        try:
            from gliner import GLiNER
        except ImportError as error:
            raise MissingExtra.package("gliner", "gliner") from error
        where, self.name = located(model, kind="gliner", config="gliner_config.json")
        self._threshold = threshold
        config = _plain(where, model)
        try:
            # left to itself GLiNER fetches what a folder lacks, in whatever state the hub has it today
            self._model: Any = GLiNER.from_pretrained(str(where), local_files_only=True)
        except Exception as error:  # somebody else's code: whatever it raises, the user reads whose it is
            raise BadInput(
                f"{model} cannot be loaded from {where} as a GLiNER model: {first_line(error)} (A whole folder has "
                f"gliner_config.json, model.safetensors or pytorch_model.bin, and a tokenizer. What of tokenizer and "
                f"encoder's configuration it lacks is looked for in the hub's cache, under {config.get('model_name')!r}.)"
            ) from error
        settings = self._model.config
        processor = self._model.data_processor
        self._tokenizer: Any = processor.transformer_tokenizer
        self._split: Any = processor.words_splitter
        self._max_words = int(settings.max_len)
        encoder = getattr(settings, "encoder_config", None) or getattr(settings, "decoder_config", None)
        self._window = window(self._tokenizer, encoder)
        self._asked = self._prompts(int(settings.max_types))
        self._room = self._window - max(self._n_prompt(labels) for labels in self._asked)

    def _prompts(self, max_types: int) -> list[list[str]]:
        """The labels in as few even groups as a model can be asked for at once: no more than it was trained with, and
        no more than half of its window. Labels are scored each for itself, so that groups can be joined."""
        labels = list(LABELS)
        for n in range(-(-len(labels) // max(max_types, 1)), len(labels) + 1):
            groups = [labels[i::n] for i in range(n)]
            if all(self._n_prompt(group) <= self._window // 2 for group in groups):
                return groups
        raise BadInput(f"{self.name} reads {self._window} tokens at once, too few to be asked anything")

    def _n_prompt(self, labels: Sequence[str]) -> int:
        """Tokens that asking takes: a mark and a name for each label, and a mark before the text."""
        config = self._model.config
        words = [w for label in labels for w in (config.ent_token, label)] + [config.sep_token]
        return self._n_tokens(words)

    def _n_tokens(self, words: Sequence[str]) -> int:
        ids = self._tokenizer(list(words), is_split_into_words=True, verbose=False)["input_ids"]
        return len(ids)

    def _readable(self, text: str) -> str:
        """The text with "?" for what the tokenizer leaves out, place for place.

        GLiNER counts words by their tokens: after a word without any, such as an accent that stands for itself, every
        finding would lie one word too early (gliner 0.2.29, `prepare_word_mask`), and the value beside it stay.
        """
        text = whole(text)
        words = list(self._split(text))
        if not words:
            return text
        read = self._tokenizer(
            [w for w, _, _ in words], is_split_into_words=True, add_special_tokens=False, verbose=False
        )
        seen = set(read.word_ids())
        if len(seen) == len(words):
            return text
        out = list(text)
        for n, (_, start, end) in enumerate(words):
            if n not in seen:
                out[start:end] = "?" * (end - start)
        return "".join(out)

    def _fits(self, piece: str) -> bool:
        words = [word for word, _, _ in self._split(piece)]
        return len(words) <= self._max_words and self._n_tokens(words) <= self._room

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        work = [
            (i, start, piece)
            for i, text in enumerate(texts)
            for start, piece in pieces(self._readable(text), self._fits)
        ]
        # pieces of like length go together, so that little is padded
        work.sort(key=lambda row: len(row[2]))
        for labels in self._asked:
            answers = (
                self._model.inference(
                    [piece for _, _, piece in work], labels, threshold=self._threshold, batch_size=BATCH
                )
                if work
                else []
            )
            for (i, start, _), found in zip(work, answers, strict=True):
                for one in found:
                    out[i] += trimmed(
                        texts[i],
                        LABELS[one["label"]],
                        start + one["start"],
                        start + one["end"],
                        float(one["score"]),
                        self.name,
                    )
        return [joined(union([spans]), text) for text, spans in zip(texts, out, strict=True)]


def _plain(folder: Path, model: str) -> dict[str, Any]:
    """The configuration of a GLiNER that finds what it is asked for, and brings no Python code.

    GLiNER builds its encoder with trust_remote_code: a configuration that names code would have it fetched and run.
    """
    try:
        config = json.loads((folder / "gliner_config.json").read_text("utf-8"))
        of_others = [_base_config(str(config[k])) for k in ("model_name", "labels_encoder") if config.get(k)]
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise BadInput(
            f"{folder / 'gliner_config.json'} is no configuration of a GLiNER model: {error}"
        ) from error
    if any('"auto_map"' in json.dumps(one) for one in (config, *of_others)):
        raise BadInput(f"{model} asks for Python code of its own to be run, which is not done")
    if config.get("relations_layer") or config.get("labels_decoder"):
        raise BadInput(
            f"{model} is a GLiNER for relations or for labels of its own making; a plain one is needed"
        )
    return dict(config)


def _base_config(base: str) -> Any:
    """The configuration of the encoder that a GLiNER is built on: a folder, or in the hub's cache; None if it is not here."""
    from huggingface_hub import try_to_load_from_cache

    here = Path(base) / "config.json"
    if not here.is_file():
        cached = try_to_load_from_cache(base, "config.json") if base.count("/") <= 1 else None
        if not isinstance(cached, str):
            return None
        here = Path(cached)
    return json.loads(here.read_text("utf-8"))
