"""A tuned specialist, loaded from its folder: requests in, answers with confidences out.

The same code scores dev, calibrates and serves live calls, so that a certificate is about what will run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deputize.core.artifacts import Specialist
from deputize.core.errors import BadInput, MissingExtra, Tampered
from deputize.core.prompt import prune
from deputize.core.records import Prediction, Record, Request
from deputize.specialists import catalogue
from deputize.specialists.answer_schema import AnswerSchema, closed
from deputize.specialists.base import TextPredictor
from deputize.specialists.confidence import ConfidenceCalibration, OutOfDistributionDetector
from deputize.specialists.linear import LinearModel, LinearPredictor
from deputize.specialists.pointer import PointerPredictor

CARD = "specialist.json"
LINEAR, ADAPTER, HEADS, GATE = "linear.npz", "adapter", "heads.safetensors", "gate.npz"
POINTERS = "pointers.npz"
WEIGHTS = "weights"
"""Folder of a whole tuned model (method full)."""
OUT_OF_DISTRIBUTION = 0.01
"""Conformal p-value below which a request is left to the LLM."""


class PredictorSettings(Record):
    """What a reader needs besides weights: `Specialist.settings` as a record."""

    form: AnswerSchema
    calibration: ConfidenceCalibration = msgspec.field(default_factory=ConfidenceCalibration)
    max_tokens: int = 512
    """Longest prompt, frame included."""
    max_slot_tokens: int = 64
    gate: bool = True
    training: dict[str, Any] = msgspec.field(default_factory=dict)
    """What it was trained with, for the record."""


class SpecialistPredictor:
    """One specialist, ready to answer."""

    def __init__(
        self,
        specialist: Specialist,
        reader: TextPredictor,
        settings: PredictorSettings,
        gate: OutOfDistributionDetector | None,
    ) -> None:
        self.specialist, self.reader, self.settings, self.gate = specialist, reader, settings, gate

    def predict(self, requests: Sequence[Request], *, prose: bool = True) -> list[Prediction]:
        """One prediction per request, in order; latency_ms is the batch's wall time shared out.

        Without `prose` the parts of an answer that are not compared stay empty: the rest and its confidence are the same,
        for such parts are written last.
        """
        if not requests:
            return []
        began = time.perf_counter()
        recipe = self.specialist.task.recipe
        texts = [prune(r, recipe) for r in requests]
        readings = self.reader.read(texts, prose=prose)
        strange = (
            [p < OUT_OF_DISTRIBUTION for p in self.gate.p_values(texts)]
            if self.gate
            else [False] * len(texts)
        )
        each_ms = (time.perf_counter() - began) * 1000 / len(requests)
        return [
            Prediction(
                answer=reading.answer,
                confidence=0.0
                if reading.answer is None or ood
                else self.settings.calibration.confidence(reading.sureness),
                n_prompt_tokens=reading.n_prompt_tokens,
                n_output_tokens=reading.n_output_tokens,
                latency_ms=each_ms,
            )
            for reading, ood in zip(readings, strange, strict=True)
        ]


def read_card(folder: Path) -> Specialist:
    """The description of a specialist in its folder.

    Raises:
        BadInput: there is none, or it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Specialist, strict=False)
    except FileNotFoundError:
        raise BadInput(f"{folder} holds no specialist ({CARD} is missing)") from None
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{folder / CARD} cannot be read: {error}") from error


def load(folder: Path, models_dir: Path, *, device: str = "") -> SpecialistPredictor:
    """A specialist from its folder; the base model is loaded once per process and shared.

    Raises:
        BadInput: the folder holds no specialist, or its base has changed since training.
        MissingExtra: the base model is not fetched, or a package is not installed.
        Tampered: a weight file does not match its checksum.
    """
    card = read_card(folder)
    for name, expected in card.checksums.items():
        path = folder / name
        if not path.is_file() or catalogue.sha256_of(path) != expected:
            raise Tampered(f"{path} does not match the checksum written when the specialist was trained")
    try:
        settings = msgspec.convert(card.settings, PredictorSettings)
    except msgspec.ValidationError as error:
        raise BadInput(f"{folder / CARD} holds settings of another version: {error}") from error
    gate = None
    if settings.gate and (folder / GATE).is_file():
        with np.load(folder / GATE, allow_pickle=False) as stored:
            gate = OutOfDistributionDetector.of_arrays({name: stored[name] for name in stored.files})
    return SpecialistPredictor(card, _reader(card, settings, folder, models_dir, device), settings, gate)


def _reader(
    card: Specialist, settings: PredictorSettings, folder: Path, models_dir: Path, device: str
) -> TextPredictor:
    if card.reader == "classes":
        form = closed(settings.form, partly=True)
        if form is None:
            raise BadInput(f"{folder}: a linear specialist needs a closed form")
        return LinearPredictor(LinearModel.load(folder / LINEAR), form)
    if card.reader == "pointing":
        return PointerPredictor.load(settings.form, folder / LINEAR, folder / POINTERS)
    from deputize.specialists.decoder import DecoderPredictor
    from deputize.specialists.head import HeadPredictor
    from deputize.specialists.language_model import LanguageModel, shared_base

    base: LanguageModel
    if card.method == "full":
        base, adapter = shared_base(folder / WEIGHTS, device), ""
    else:
        name = card.model
        if card.base_sha256 and base_digest(name, models_dir) != card.base_sha256:
            raise BadInput(
                f"{folder}: {name} is not the model this specialist was trained on (its weights differ). "
                f"Fetch that one again or retrain."
            )
        base, adapter = shared_base(catalogue.model_path(name, models_dir), device), adapter_name(folder)
        base.load_adapter(adapter, folder / ADAPTER)
    if card.reader == "head":
        form = closed(settings.form)
        if form is None:
            raise BadInput(f"{folder}: a head reader needs a closed form")
        return HeadPredictor(base, adapter, _heads(folder / HEADS, base.device), form, settings.max_tokens)
    return DecoderPredictor(base, adapter, settings.form, settings.max_tokens, settings.max_slot_tokens)


def _heads(path: Path, device: str) -> list[tuple[Any, Any]]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra.package("safetensors", "train") from error
    stored = load_file(path, device=device)
    return [(stored[f"weight_{i}"], stored[f"bias_{i}"]) for i in range(len(stored) // 2)]


def adapter_name(folder: Path) -> str:
    """The name under which a folder's adapter is loaded: letters and digits only, as module names demand."""
    return "a" + "".join(c for c in str(folder.resolve()) if c.isalnum())


def base_digest(name: str, models_dir: Path) -> str:
    """One SHA-256 for a base model: that of its only weight file, or of the list of them."""
    sums = catalogue.manifest(name, models_dir).sha256
    if len(sums) == 1:
        return next(iter(sums.values()))
    import hashlib

    return hashlib.sha256("".join(f"{k}:{v}\n" for k, v in sorted(sums.items())).encode()).hexdigest()


def unload(predictor: SpecialistPredictor) -> None:
    """Frees a specialist's adapter; the shared base stays."""
    reader = predictor.reader
    base, adapter = getattr(reader, "base", None), getattr(reader, "adapter", "")
    if base is not None and adapter:
        base.drop_adapter(adapter)
