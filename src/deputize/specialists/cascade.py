"""A cascade of two specialists of one task: the cheap one first, the expensive one only where the first is not sure.

Where the first is sure enough its answer stands. Elsewhere both speak: their log-probabilities are added with weights (a
logarithmic opinion pool), so that an answer on which they differ gets little confidence. The weights and the confidence from which
the first decides alone are fitted on validation and then fixed: calibration and live calls go through the same code, and one
threshold on the cascade's confidence is what is certified.

Legend: N texts, C choices.

References:
    Genest and Zidek, "Combining probability distributions", Statistical Science 1, 1986 (the logarithmic opinion pool).
    Viola and Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001; Chen et al.,
    "FrugalGPT", arXiv 2305.05176 (cascades).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from deputize.core.errors import BadInput
from deputize.core.records import Record
from deputize.specialists.base import ClosedPredictor, ClosedScores, RawPrediction, choose_each, engine_of
from deputize.specialists.closed_answers import ClosedAnswers
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.specialist_card import read_card, settings_of

Floats = npt.NDArray[np.float32]

SETTINGS_FILE = "cascade.json"
FIRST_FOLDER, SECOND_FOLDER = "first", "second"
NEVER_ALONE = 1.0
"""A log-probability that no answer reaches."""


class CascadeSettings(Record):
    """How the two members are put together."""

    alone: float = 1.0
    """Weight of the first where it decides alone."""
    first: float = 0.5
    """Its weight where both speak."""
    second: float = 1.0
    exit_log_p: float = NEVER_ALONE
    """Log-probability of its answer from which the first decides alone."""


def never_alone(settings: CascadeSettings) -> CascadeSettings:
    """The same with both members speaking everywhere."""
    return msgspec.structs.replace(settings, exit_log_p=NEVER_ALONE)


def pooled(*weighed: tuple[ClosedScores, float]) -> ClosedScores:
    """The scores of several members, each with its weight, as one; tokens are those of the last."""
    out = []
    for q in range(len(weighed[0][0].log_ps)):
        sum_NC = sum((weight * scores.log_ps[q] for scores, weight in weighed), np.float32(0))
        top_N1 = np.max(sum_NC, axis=1, keepdims=True)
        sum_NC = sum_NC - top_N1
        out.append((sum_NC - np.log(np.exp(sum_NC).sum(axis=1, keepdims=True))).astype(np.float32))
    return ClosedScores(out, weighed[-1][0].n_prompt_tokens)


class CascadePredictor:
    """Predicts closed answers with one member, or with both."""

    kind = "cascade"

    def __init__(
        self, first: ClosedPredictor, second: ClosedPredictor | None, settings: CascadeSettings
    ) -> None:
        """
        Args:
            first: the cheap member, whose predictions do not depend on the batch.
            second: the expensive one, with the same questions; None: only `early` can be asked.
            settings: fitted on validation.
        """
        self.first, self.second, self.settings = first, second, settings

    @property
    def answers(self) -> ClosedAnswers:
        return self.first.answers

    def early(self, texts: Sequence[str]) -> list[RawPrediction | None]:
        """Predictions of the texts that the first member decides alone, as `predict` gives them; None for the others."""
        return self._early(self.first.scores(texts)) if texts else []

    def _early(self, scores: ClosedScores) -> list[RawPrediction | None]:
        found = choose_each(self.answers, pooled((scores, self.settings.alone)))
        return [one if one.raw_confidence.log_p >= self.settings.exit_log_p else None for one in found]

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        if not texts:
            return []
        assert self.second is not None
        scores = self.first.scores(texts)
        out = self._early(scores)
        open_ = [n for n, one in enumerate(out) if one is None]
        if open_:
            mine = ClosedScores(
                [log_p_NC[open_] for log_p_NC in scores.log_ps], [scores.n_prompt_tokens[n] for n in open_]
            )
            other = self.second.scores([texts[n] for n in open_])
            both = pooled((mine, self.settings.first), (other, self.settings.second))
            for n, one in zip(open_, choose_each(self.answers, both), strict=True):
                out[n] = one
        return [one for one in out if one is not None]

    @property
    def engine(self) -> str:
        return engine_of(self.second)

    @property
    def depends_on_batch(self) -> bool:
        return bool(getattr(self.second, "depends_on_batch", False))

    def release(self) -> None:
        """Frees what the second member holds in shared models."""
        release = getattr(self.second, "release", None)
        if release is not None:
            release()


def load_cascade(stored: StoredSpecialist) -> CascadePredictor:
    """The predictor of a stored specialist of kind "cascade".

    Raises:
        BadInput: its settings cannot be read, or a member has no closed answers. Also what loading a member raises.
        MissingExtra: the model or a package of a member is not here.
    """
    first, second = (load_member(stored, name) for name in (FIRST_FOLDER, SECOND_FOLDER))
    return CascadePredictor(first, second, _settings(stored.folder))


def load_first(stored: StoredSpecialist) -> CascadePredictor:
    """The same without its second member, for early answers."""
    return CascadePredictor(load_member(stored, FIRST_FOLDER), None, _settings(stored.folder))


def load_member(stored: StoredSpecialist, name: str) -> ClosedPredictor:
    """A member of a stored cascade. Raises as `load_cascade`."""
    folder = stored.folder / name
    card = read_card(folder)
    member = StoredSpecialist(folder, card, settings_of(card), stored.models_dir, stored.device)
    loaded = loader_of(card.kind)(member)
    if not isinstance(loaded, ClosedPredictor):
        raise BadInput(f"{folder}: a specialist of the kind {card.kind} cannot be a member of a cascade")
    return loaded


def _settings(folder: Path) -> CascadeSettings:
    try:
        return msgspec.json.decode((folder / SETTINGS_FILE).read_bytes(), type=CascadeSettings)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{folder / SETTINGS_FILE} cannot be read: {error}") from error
