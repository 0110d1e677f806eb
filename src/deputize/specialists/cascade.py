"""A cascade of specialists of one task, from cheap to expensive: the next one only where those before it are not sure.

Where the first is sure enough its answer stands. Elsewhere the next one speaks too: the log-probabilities of all that
have spoken are added with weights (a logarithmic opinion pool), so that an answer on which they differ gets little
confidence; where they are sure together their answer stands, else one more is asked, up to the last. The weights and
the confidences from which no further one is asked are fitted on validation and then fixed: calibration and live calls
go through the same code, and one threshold on the cascade's confidence is what is certified.

Legend: N texts, C choices, M members that have spoken.

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

from deputize.core.errors import BadInput
from deputize.core.records import Record
from deputize.specialists.base import (
    LOCAL,
    ClosedPredictor,
    ClosedScores,
    RawPrediction,
    choose_each,
    engine_of,
)
from deputize.specialists.closed_answers import ClosedAnswers
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.specialist_card import read_card, settings_of

SETTINGS_FILE = "cascade.json"
NEVER_SURE = 1.0
"""A log-probability that no answer reaches."""


class CascadeStep(Record):
    """The members up to one, together."""

    weights: list[float]
    """Of each member that has spoken by then."""
    exit_log_p: float = NEVER_SURE
    """Log-probability of their answer from which no further member is asked; the last step's answer stands whatever it
    is."""


class CascadeSettings(Record):
    """How the members are put together."""

    steps: list[CascadeStep]
    """One for each member: the first alone, the first two, and so on, to all of them."""


def default_weights(n_members: int) -> list[float]:
    """Weights of so many members before anything is fitted: the newest, which costs the most, counts twice."""
    return [0.5] * (n_members - 1) + [1.0]


def default_settings(n_members: int) -> CascadeSettings:
    """Of so many members that all speak about every text."""
    return CascadeSettings(steps=[CascadeStep(weights=default_weights(n + 1)) for n in range(n_members)])


def never_sure(settings: CascadeSettings) -> CascadeSettings:
    """The same with all members speaking about every text."""
    return CascadeSettings(steps=[CascadeStep(weights=step.weights) for step in settings.steps])


def member_folder(place: int) -> str:
    """Name of a member's folder inside that of the cascade."""
    return f"member_{place + 1}"


def pooled(scores_M: Sequence[ClosedScores], weights_M: Sequence[float]) -> ClosedScores:
    """The scores of several members, each with its weight, as one; tokens are those of the last."""
    out = []
    for q in range(len(scores_M[0].log_ps)):
        parts = (weight * scores.log_ps[q] for scores, weight in zip(scores_M, weights_M, strict=True))
        sum_NC = sum(parts, np.float32(0))
        top_N1 = np.max(sum_NC, axis=1, keepdims=True)
        sum_NC = sum_NC - top_N1
        out.append((sum_NC - np.log(np.exp(sum_NC).sum(axis=1, keepdims=True))).astype(np.float32))
    return ClosedScores(out, scores_M[-1].n_prompt_tokens)


def scores_at(scores: ClosedScores, places: Sequence[int]) -> ClosedScores:
    """The scores of some of the texts."""
    return ClosedScores(
        [log_p_NC[list(places)] for log_p_NC in scores.log_ps], [scores.n_prompt_tokens[n] for n in places]
    )


class CascadePredictor:
    """Predicts closed answers with as many members as it takes."""

    kind = "cascade"

    def __init__(self, members: Sequence[ClosedPredictor], settings: CascadeSettings) -> None:
        """
        Args:
            members: from cheap to expensive, all with the same questions; predictions of the first do not depend on the
                batch. The first alone: only `early` can be asked.
            settings: fitted on validation.
        """
        self.members, self.settings = list(members), settings

    @property
    def answers(self) -> ClosedAnswers:
        return self.members[0].answers

    def early(self, texts: Sequence[str]) -> list[RawPrediction | None]:
        """Predictions of the texts that the first member decides alone, as `predict` gives them; None for the
        others."""
        if not texts:
            return []
        step = self.settings.steps[0]
        said = choose_each(self.answers, pooled([self.members[0].scores(texts)], step.weights))
        return [one if one.raw_confidence.log_p >= step.exit_log_p else None for one in said]

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        out: list[RawPrediction | None] = [None] * len(texts)
        open_, heard = list(range(len(texts))), list[ClosedScores]()
        for member, step in zip(self.members, self.settings.steps, strict=True):
            if not open_:
                break
            heard.append(member.scores([texts[n] for n in open_]))
            said, left = choose_each(self.answers, pooled(heard, step.weights)), list[int]()
            for place, one in enumerate(said):
                if one.raw_confidence.log_p >= step.exit_log_p or step is self.settings.steps[-1]:
                    out[open_[place]] = one
                else:
                    left.append(place)
            heard = [scores_at(scores, left) for scores in heard]
            open_ = [open_[place] for place in left]
        return [one for one in out if one is not None]

    @property
    def engine(self) -> str:
        """Those of all members that do not answer the same everywhere."""
        engines = dict.fromkeys(engine_of(member) for member in self.members)
        return " and ".join(name for name in engines if name != LOCAL) or LOCAL

    @property
    def depends_on_batch(self) -> bool:
        return any(getattr(member, "depends_on_batch", False) for member in self.members)

    def release(self) -> None:
        """Frees what members hold in shared models."""
        for member in self.members:
            release = getattr(member, "release", None)
            if release is not None:
                release()


def load_cascade(stored: StoredSpecialist) -> CascadePredictor:
    """The predictor of a stored specialist of kind "cascade".

    Raises:
        BadInput: its settings cannot be read, or a member has no closed answers. Also what loading a member raises.
        MissingExtra: the model or a package of a member is not here.
    """
    settings = _settings(stored.folder)
    return CascadePredictor([load_member(stored, n) for n in range(len(settings.steps))], settings)


def load_first(stored: StoredSpecialist) -> CascadePredictor:
    """The same with its first member only, for early answers."""
    return CascadePredictor([load_member(stored, 0)], _settings(stored.folder))


def load_member(stored: StoredSpecialist, place: int) -> ClosedPredictor:
    """A member of a stored cascade. Raises as `load_cascade`."""
    folder = stored.folder / member_folder(place)
    card = read_card(folder)
    member = StoredSpecialist(folder, card, settings_of(card), stored.models_dir, stored.device)
    loaded = loader_of(card.kind)(member)
    if not isinstance(loaded, ClosedPredictor):
        raise BadInput(f"{folder}: a specialist of the kind {card.kind} cannot be a member of a cascade")
    return loaded


def _settings(folder: Path) -> CascadeSettings:
    try:
        settings = msgspec.json.decode((folder / SETTINGS_FILE).read_bytes(), type=CascadeSettings)
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{folder / SETTINGS_FILE} cannot be read: {error}") from error
    if not settings.steps or any(len(step.weights) != n + 1 for n, step in enumerate(settings.steps)):
        raise BadInput(f"{folder / SETTINGS_FILE}: each step needs one weight for each member up to it")
    return settings
