"""A trained specialist, loaded from its folder: requests in, answers with calibrated confidences out.

The same code scores validation, calibrates and serves live calls, so that a certificate is about what will run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from deputize.core.artifacts import Specialist
from deputize.core.config import EngineSettings
from deputize.core.errors import Tampered
from deputize.core.prompt import prune
from deputize.core.records import Answer, Prediction, Request
from deputize.core.subjects import Subjects
from deputize.files import FileStamp, stamp_of
from deputize.locations import models_path
from deputize.specialists.base import Predictor, RawPrediction, TextPredictor, WarmsUp, Writing, engine_of
from deputize.specialists.cascade import CascadePredictor, load_first
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.hashed_features import n_words
from deputize.specialists.out_of_distribution import OutOfDistributionDetector
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.specialist_card import (
    OUT_OF_DISTRIBUTION_FILE,
    PredictorSettings,
    check_files,
    read_card,
    settings_of,
)
from deputize.specialists.writing.registry import writes_elsewhere, written_decoder


@runtime_checkable
class WritesFreeSlots(Protocol):
    """A text predictor that can leave the slots empty which are not compared."""

    def without_free_slots(self) -> TextPredictor: ...


@runtime_checkable
class KnowsForms(Protocol):
    """A text predictor that guesses whole values from the forms that they had in training."""

    def know_forms(self, texts: Sequence[str], answers: Sequence[Answer], subjects: Subjects) -> None: ...


@runtime_checkable
class DependsOnBatch(Protocol):
    """A text predictor whose answers may depend on what else is in a batch, by its precision."""

    @property
    def depends_on_batch(self) -> bool:
        """True where rounding in low precision differs with the size of a batch."""
        ...


@runtime_checkable
class AnswersEarly(Protocol):
    """A text predictor that answers some texts at once, and others with more effort (a cascade)."""

    def early(self, texts: Sequence[str]) -> list[RawPrediction | None]:
        """The predictions of texts that are answered at once, as `predict` would give them; None for the others."""
        ...


@runtime_checkable
class Releasable(Protocol):
    """A text predictor that holds weights in a shared model."""

    def release(self) -> None: ...


class SpecialistPredictor:
    """One specialist, ready to answer."""

    def __init__(
        self,
        specialist: Specialist,
        text_predictor: TextPredictor,
        settings: PredictorSettings,
        detector: OutOfDistributionDetector | None,
    ) -> None:
        self.specialist, self.text_predictor, self.settings = specialist, text_predictor, settings
        self.ood_detector = detector
        """Of requests unlike those trained on; None: every request is taken for one of these."""

    @classmethod
    def load(
        cls, folder: Path | str, *, models_dir: Path | None = None, device: str = ""
    ) -> SpecialistPredictor:
        """A specialist from its folder: of a home (HOME / route.specialist), or copied out of one.

        Args:
            folder: of the specialist; specialist.json is in it.
            models_dir: where base models lie; None: DEPUTIZE_MODELS, else ~/.cache/deputize/models.
            device: of torch; "" for the best there is.

        Raises:
            BadInput: the folder holds no specialist, or its base has changed since training.
            MissingExtra: the base model is not fetched, or a package is not installed.
            Tampered: a file does not match its checksum.
        """
        return load(Path(folder), models_dir or models_path(), device=device)

    @property
    def engine(self) -> str:
        """The engine and precision that answer, as certificates name them."""
        return engine_of(self.text_predictor)

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """One prediction per request, in order; latency_ms is the batch's wall time divided by its size."""
        if not requests:
            return []
        began = time.perf_counter()
        texts = [prune(r, self.specialist.task.recipe) for r in requests]
        return self._calibrated(texts, self._raw(texts), began)

    def predict_early(self, requests: Sequence[Request]) -> list[Prediction | None]:
        """The predictions of requests that are answered at once, as `predict` gives them; None for the others."""
        began = time.perf_counter()
        texts = [prune(r, self.specialist.task.recipe) for r in requests]
        if not isinstance(self.text_predictor, AnswersEarly):
            return [None] * len(texts)
        raw = self.text_predictor.early(texts)
        done = [(text, one) for text, one in zip(texts, raw, strict=True) if one is not None]
        found = iter(self._calibrated([text for text, _ in done], [one for _, one in done], began))
        return [None if one is None else next(found) for one in raw]

    def warm_up(self) -> None:
        """Answers an empty prompt for nobody: packages are imported and kernels built before the first call."""
        if isinstance(self.text_predictor, WarmsUp):
            self.text_predictor.warm_up()
        else:
            self.text_predictor.predict([""])
        if self.ood_detector is not None:
            self.ood_detector.p_values([""])

    def _calibrated(
        self, texts: Sequence[str], raw: Sequence[RawPrediction], began: float
    ) -> list[Prediction]:
        """Predictions with calibrated confidences; `began` is when the work on them began."""
        if not texts:
            return []
        p_values = self.ood_detector.p_values(texts) if self.ood_detector is not None else [1.0] * len(texts)
        each_ms = (time.perf_counter() - began) * 1000 / len(texts)
        return [
            Prediction(
                answer=one.answer,
                confidence=self._confidence(one, p),
                out_of_distribution=p < self.settings.out_of_distribution_p,
                # a model without a tokenizer reads words and signs
                n_prompt_tokens=one.n_prompt_tokens or n_words(text),
                n_output_tokens=one.n_output_tokens or n_words(_written(one.answer)),
                latency_ms=each_ms,
                engine=self.engine,
            )
            for text, one, p in zip(texts, raw, p_values, strict=True)
        ]

    @property
    def one_by_one(self) -> bool:
        """True where requests are answered one after the other, since a batch would change answers."""
        return isinstance(self.text_predictor, DependsOnBatch) and self.text_predictor.depends_on_batch

    @property
    def written_with(self) -> object | None:
        """The base model, where answers may be written with those of its other specialists; else None."""
        return self.text_predictor.written_with if isinstance(self.text_predictor, DecoderPredictor) else None

    def begin_writing(self) -> Writing:
        """Answers of this base model that are to be written together, none of them yet."""
        assert isinstance(self.text_predictor, DecoderPredictor)
        return self.text_predictor.begin()

    def to_write(
        self, request: Request, told: Callable[[Prediction], None], waits: Callable[[], bool]
    ) -> object:
        """The answer to a request, to be added to what `begin_writing` gave; see `WritesJointly`."""
        assert isinstance(self.text_predictor, DecoderPredictor)
        began, text = time.perf_counter(), prune(request, self.specialist.task.recipe)

        def written(raw: RawPrediction) -> None:
            (prediction,) = self._calibrated([text], [raw], began)
            told(prediction)

        return self.text_predictor.to_write(text, written, waits)

    def _raw(self, texts: Sequence[str]) -> list[RawPrediction]:
        """Predictions that do not depend on the batch: what calibration sees is what a live call gets, alone or not."""
        one = self.text_predictor
        if self.one_by_one:
            return [raw for text in texts for raw in one.predict([text])]
        return one.predict(texts)

    def _confidence(self, raw: RawPrediction, p_value: float) -> float:
        if raw.answer is None or p_value < self.settings.out_of_distribution_p:
            return 0.0
        return self.settings.calibration.confidence(raw.raw_confidence)

    def without_free_text(self) -> Predictor:
        """The same specialist with uncompared text left empty: such text is written last, so nothing else changes."""
        if not isinstance(self.text_predictor, WritesFreeSlots):
            return self
        shorter = self.text_predictor.without_free_slots()
        return SpecialistPredictor(self.specialist, shorter, self.settings, self.ood_detector)


def _written(answer: Answer | None) -> str:
    if answer is None or isinstance(answer, str):
        return answer or ""
    return msgspec.json.encode(answer).decode()


def load(
    folder: Path,
    models_dir: Path,
    *,
    device: str = "",
    only_early: bool = False,
    engine: EngineSettings | None = None,
) -> SpecialistPredictor:
    """A specialist from its folder; a base model is loaded once per process and shared.

    Args:
        folder: of the specialist.
        models_dir: where base models lie.
        device: "" for the best there is.
        only_early: of a cascade load only what answers at once (`predict_early`).
        engine: what writes the answers of decoders; None: transformers, in this process.

    Raises:
        BadInput: the folder holds no specialist, or its base has changed since training.
        MissingExtra: the base model is not fetched, or a package is not installed.
        Tampered: a file does not match its checksum.
    """
    before = _stamps(folder)
    card = read_card(folder)
    check_files(folder, card)
    loaded = _loaded(folder, card, models_dir, device=device, only_early=only_early, engine=engine)
    # else a file could be another one when its checksum is taken than when it is read
    if _stamps(folder) != before:
        unload(loaded)
        raise Tampered(f"A file of {folder} was changed while it was loaded.")
    return loaded


def _stamps(folder: Path) -> dict[Path, FileStamp | None]:
    return {path: stamp_of(path) for path in folder.rglob("*") if path.is_file()}


def _loaded(
    folder: Path,
    card: Specialist,
    models_dir: Path,
    *,
    device: str,
    only_early: bool,
    engine: EngineSettings | None,
) -> SpecialistPredictor:
    settings = settings_of(card)
    detector = None
    if (folder / OUT_OF_DISTRIBUTION_FILE).is_file():
        with np.load(folder / OUT_OF_DISTRIBUTION_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        detector = OutOfDistributionDetector.of_arrays(arrays)
    stored_specialist = StoredSpecialist(folder, card, settings, models_dir, device)
    if engine is not None and writes_elsewhere(card.kind, engine):
        return SpecialistPredictor(card, written_decoder(stored_specialist, engine), settings, detector)
    loader = load_first if only_early and card.kind == CascadePredictor.kind else loader_of(card.kind)
    return SpecialistPredictor(card, loader(stored_specialist), settings, detector)


def unload(predictor: Predictor) -> None:
    """Frees what a specialist holds in shared models."""
    if isinstance(predictor, SpecialistPredictor) and isinstance(predictor.text_predictor, Releasable):
        predictor.text_predictor.release()
