"""GLiNER models as detectors: encoders that find whatever entity types they are given as words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
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

BATCH = 8
"""Chunks that go through the encoder together."""

_TYPE_NAMES = {
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
"""Entity types whose name in lower case is not what a model was trained on."""

LABELS = {_TYPE_NAMES.get(kind, kind.lower().replace("_", " ")): kind for kind in sorted(DIRECT | INDIRECT)}
"""Label that a model is asked for -> entity type."""


class GlinerDetector:
    """A GLiNER model (Zaratiana et al. 2023, arXiv 2311.08526) that is given our entity types as labels."""

    def __init__(self, model: str, *, threshold: float = THRESHOLD) -> None:
        """Raises MissingExtra where the package or the model is not here, BadInput where it is of another kind."""
        try:
            from gliner import GLiNER
        except ImportError as error:
            raise MissingExtra.package("gliner", "gliner") from error
        where, self.name = locate_model(model, kind="gliner", config="gliner_config.json")
        self._threshold = threshold
        config = _checked_config(where, model)
        try:
            # without this GLiNER would fetch what a folder lacks from the hub, at no fixed commit
            self._model: Any = GLiNER.from_pretrained(str(where), local_files_only=True)
        except Exception as error:  # third-party code may raise anything; the message says whose it is
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
        self._window = window_size(self._tokenizer, encoder)
        self._label_groups = self._group_labels(int(settings.max_types))
        self._room = self._window - max(self._n_prompt_tokens(labels) for labels in self._label_groups)

    def _group_labels(self, max_types: int) -> list[list[str]]:
        """The labels in as few even groups as possible: a group has at most `max_types` labels, as in the model's
        training, and takes at most half of its window. Each label is scored by itself, so that groups can be joined."""
        labels = list(LABELS)
        for n in range(-(-len(labels) // max(max_types, 1)), len(labels) + 1):
            groups = [labels[i::n] for i in range(n)]
            if all(self._n_prompt_tokens(group) <= self._window // 2 for group in groups):
                return groups
        raise BadInput(f"{self.name} reads {self._window} tokens at once, too few for any label")

    def _n_prompt_tokens(self, labels: Sequence[str]) -> int:
        """Tokens of the prompt: a marker and a name for each label, and a marker before the text."""
        config = self._model.config
        words = [w for label in labels for w in (config.ent_token, label)] + [config.sep_token]
        return self._n_tokens(words)

    def _n_tokens(self, words: Sequence[str]) -> int:
        ids = self._tokenizer(list(words), is_split_into_words=True, verbose=False)["input_ids"]
        return len(ids)

    def _readable(self, text: str) -> str:
        """The text with "?" for each character of a word that the tokenizer drops.

        GLiNER counts words by their tokens. After a word without any token, such as an accent by itself, every finding
        would be one word too early (gliner 0.2.29, `prepare_word_mask`), and the value itself would not be covered.
        """
        text = valid_unicode(text)
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

    def _fits(self, chunk: str) -> bool:
        words = [word for word, _, _ in self._split(chunk)]
        return len(words) <= self._max_words and self._n_tokens(words) <= self._room

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out: list[list[Span]] = [[] for _ in texts]
        work = [
            (i, start, chunk)
            for i, text in enumerate(texts)
            for start, chunk in overlapping_chunks(self._readable(text), self._fits)
        ]
        # chunks of like length go together, so that little is padded
        work.sort(key=lambda row: len(row[2]))
        for labels in self._label_groups:
            answers = (
                self._model.inference(
                    [chunk for _, _, chunk in work], labels, threshold=self._threshold, batch_size=BATCH
                )
                if work
                else []
            )
            for (i, start, _), found in zip(work, answers, strict=True):
                for entity in found:
                    out[i] += trim_span(
                        texts[i],
                        LABELS[entity["label"]],
                        start + entity["start"],
                        start + entity["end"],
                        float(entity["score"]),
                        self.name,
                    )
        return [join_adjacent(merge_spans([spans]), text) for text, spans in zip(texts, out, strict=True)]


def _checked_config(folder: Path, model: str) -> dict[str, Any]:
    """The configuration of a GLiNER, refused where it would run Python code of its own.

    GLiNER builds its encoder with trust_remote_code: code that a configuration names would be fetched and run.
    """
    try:
        config = json.loads((folder / "gliner_config.json").read_text("utf-8"))
        encoders = [_base_config(str(config[k])) for k in ("model_name", "labels_encoder") if config.get(k)]
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise BadInput(
            f"{folder / 'gliner_config.json'} is not a configuration of a GLiNER model: {error}"
        ) from error
    if any('"auto_map"' in json.dumps(part) for part in (config, *encoders)):
        raise BadInput(f"{model} would run Python code of its own, which is refused")
    if config.get("relations_layer") or config.get("labels_decoder"):
        raise BadInput(f"{model} is a GLiNER for relations or with generated labels; a plain one is needed")
    return dict(config)


def _base_config(base: str) -> Any:
    """The configuration of the encoder of a GLiNER, from a folder or the hub's cache; None if it is on neither."""
    from huggingface_hub import try_to_load_from_cache

    here = Path(base) / "config.json"
    if not here.is_file():
        cached = try_to_load_from_cache(base, "config.json") if base.count("/") <= 1 else None
        if not isinstance(cached, str):
            return None
        here = Path(cached)
    return json.loads(here.read_text("utf-8"))
