"""A trained tagger as a detector: texts in, spans of personal data out. Knows nothing of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from deputize.core.errors import BadInput, Tampered
from deputize.core.progress import Progress, silent
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.spans import join_adjacent
from deputize.privacy.tagger import network
from deputize.privacy.tagger.encoding import n_classes, spans_of
from deputize.privacy.tagger.tagger_card import TaggerCard
from deputize.privacy.tagger.versions import read_card
from deputize.specialists.catalogue import sha256_of

Precision = Literal["int8", "bf16", "fp32"]

CHUNK_CHARS = 200_000
"""Characters read at a time: probabilities of 45 classes for a whole 2 MB prompt at once would hold gigabytes."""


class Tagger:
    """Finds spans of personal data with a fine-tuned encoder. Made by load_tagger; safe to use from one thread."""

    name = "tagger"
    skips_covered_lines = True
    """Lines that others have wholly claimed need not be shown to it."""

    def __init__(self, card: TaggerCard, model: Any, tokenizer: Any, *, precision: Precision) -> None:
        self.card = card
        self.precision = precision
        self._model = model
        self._tokenizer = tokenizer
        self._special = network.special_ids(tokenizer)

    @property
    def types(self) -> tuple[str, ...]:
        """The types it can find."""
        return tuple(self.card.types)

    def detect(
        self, texts: Sequence[str], *, threshold: float | None = None, progress: Progress = silent
    ) -> list[list[Span]]:
        """The spans of each text, in order and without overlap, as characters of the text given.

        Args:
            texts: any strings, of any length.
            threshold: in (0, 1]; lower finds more. None: the one chosen on the tagger's validation part.
            progress: called as texts are read.
        """
        limit = self.card.threshold if threshold is None else threshold
        out: list[list[Span]] = [[] for _ in texts]
        parts = [(i, start, text[start:end]) for i, text in enumerate(texts) for start, end in chunks(text)]
        at = 0
        while at < len(parts):
            upto, size = at, 0
            while upto < len(parts) and (upto == at or size + len(parts[upto][2]) <= CHUNK_CHARS):
                size += len(parts[upto][2])
                upto += 1
            batch = parts[at:upto]
            read = network.probabilities(
                self._model,
                self._tokenizer,
                self._special,
                [text for _, _, text in batch],
                window=int(self.card.settings["window"]),
                overlap=int(self.card.settings["overlap"]),
                bf16=self.precision == "bf16",
            )
            for (i, start, part), (probabilities, words, offsets) in zip(batch, read, strict=True):
                spans = join_adjacent(spans_of(probabilities, words, offsets, self.card.types, limit), part)
                out[i] += [
                    msgspec.structs.replace(s, start=s.start + start, end=s.end + start) for s in spans
                ]
            at = upto
            progress("looking for personal data", batch[-1][0] + 1, len(texts))
        return out


def chunks(text: str, size: int = CHUNK_CHARS // 4) -> list[tuple[int, int]]:
    """[start, end) pieces of a text of at most `size` characters, cut after a line end or a space where there is
    one."""
    out = []
    start = 0
    while len(text) - start > size:
        cut = max(
            text.rfind("\n", start + size // 2, start + size),
            text.rfind(" ", start + size // 2, start + size),
        )
        end = cut + 1 if cut >= 0 else start + size
        out.append((start, end))
        start = end
    if start < len(text):
        out.append((start, len(text)))
    return out


def load_tagger(path: Path, *, precision: Precision = "int8", device: str = "cpu") -> Tagger:
    """A tagger from the folder that train_tagger wrote.

    Args:
        path: the folder.
        precision: int8 (linear layers quantised as they are read, CPU only; falls back to fp32 where torch cannot),
            bf16 or fp32.
        device: cpu or cuda.

    Raises:
        BadInput: the folder holds no tagger that can be used.
        Tampered: a file does not match the checksum on the card.
        MissingExtra: torch, transformers or tokenizers is missing.
    """
    card = read_card(path)
    for name in (network.WEIGHTS, network.TOKENIZER, network.CONFIG):
        file = path / name
        if not file.is_file():
            raise BadInput(f"the tagger in {path} lacks {name}")
        if sha256_of(file) != card.checksums.get(name):
            raise Tampered(f"{file} does not match the checksum on the tagger's card")
    tokenizer = network.read_tokenizer(path)
    model = network.build(path, n_classes(card.types), weights=network.WEIGHTS).eval()
    if precision == "int8" and device == "cpu":
        small = network.quantise(model)
        if small is None:
            precision = "fp32"
        else:
            model = small
    else:
        precision = "fp32" if precision == "int8" else precision
        model.to(device)
    return Tagger(card, model, tokenizer, precision=precision)
