"""Protocols of what predicts answers, from whole requests or from pruned texts, and the prediction of closed
answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from deputize.core.records import Answer, Prediction, Request
from deputize.specialists.closed_answers import ClosedAnswers
from deputize.specialists.confidence import RawConfidence


class Predictor(Protocol):
    """Predicts the answers to requests, each with a confidence in [0, 1]."""

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """One prediction per request, in their order."""
        ...


@runtime_checkable
class WritesFreeText(Protocol):
    """A predictor whose answers hold text that is not compared, and that can leave it out."""

    def without_free_text(self) -> Predictor:
        """The same predictor, whose answers have empty strings where text is not compared."""
        ...


@runtime_checkable
class PredictsEarly(Protocol):
    """A predictor that may answer some requests at once, and others with more effort."""

    def predict_early(self, requests: Sequence[Request]) -> list[Prediction | None]:
        """The predictions of requests that are answered at once, as `predict` gives them; None for the others."""
        ...


LOCAL = "local"
"""The engine of specialists whose answers are the same wherever they are computed: plain arithmetic on what was
stored."""


@runtime_checkable
class NamesItsEngine(Protocol):
    """A predictor whose answers depend on what computes them."""

    @property
    def engine(self) -> str:
        """The engine and the precision of its weights, as certificates name them."""
        ...


def engine_of(predictor: object) -> str:
    """The engine that a predictor answers with, as certificates name it."""
    return predictor.engine if isinstance(predictor, NamesItsEngine) else LOCAL


@runtime_checkable
class AnswersOneByOne(Protocol):
    """A predictor that may answer the requests of a batch one after the other."""

    @property
    def one_by_one(self) -> bool:
        """True where it does, so that a batch gains nothing."""
        ...


@runtime_checkable
class WarmsUp(Protocol):
    """A predictor whose first answer takes longer than later ones, unless it has warmed up."""

    def warm_up(self) -> None:
        """Does what is done once; it answers as before."""
        ...


class Writing(Protocol):
    """Answers that are being written together, of the specialists of one base model."""

    def __len__(self) -> int:
        """Answers that are not complete yet."""
        ...

    def add(self, answers: Sequence[Any]) -> None:
        """Answers join the others; as `WritesJointly.to_write` gave them."""
        ...

    def step(self) -> None:
        """Goes one step further in all of them; tells those that are complete."""
        ...


@runtime_checkable
class WritesJointly(Protocol):
    """A predictor whose answers may be written together with those of other specialists."""

    @property
    def written_with(self) -> object | None:
        """The base model: answers of predictors with the same one may be written together. None: this one writes
        alone."""
        ...

    def begin_writing(self) -> Writing:
        """Answers of this base model that are to be written together, none of them yet."""
        ...

    def to_write(
        self, request: Request, told: Callable[[Prediction], None], waits: Callable[[], bool]
    ) -> object:
        """The answer to a request, to be added to what `begin_writing` gave.

        Args:
            request: to be answered.
            told: called with the answer.
            waits: False once nobody waits for it.
        """
        ...


class RawPrediction(NamedTuple):
    """An answer before calibration; answer None: the predictor found none that keeps the contract."""

    answer: Answer | None
    raw_confidence: RawConfidence
    n_prompt_tokens: int = 0
    n_output_tokens: int = 0


class TextPredictor(Protocol):
    """Predicts answers from pruned prompts, without calibration."""

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in their order."""
        ...


def without_free_text(predictor: Predictor) -> Predictor:
    """The predictor without the text of its answers that is not compared; itself where it writes none."""
    return predictor.without_free_text() if isinstance(predictor, WritesFreeText) else predictor


class ClosedScores(NamedTuple):
    """Scores of texts over closed answers."""

    log_ps: list[npt.NDArray[np.float32]]
    """Per question, log-probabilities of its choices, [N, C]."""
    n_prompt_tokens: list[int]
    """Of each text; 0 for a model without a tokenizer."""


@runtime_checkable
class ClosedPredictor(TextPredictor, Protocol):
    """A text predictor that scores every choice of closed answers."""

    @property
    def answers(self) -> ClosedAnswers: ...

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Scores of texts, at least one, in their order."""
        ...


def choose_each(answers: ClosedAnswers, scores: ClosedScores) -> list[RawPrediction]:
    """The most likely answer to each text."""
    return [
        choose(answers, [lp[n] for lp in scores.log_ps], tokens)
        for n, tokens in enumerate(scores.n_prompt_tokens)
    ]


def choose(
    answers: ClosedAnswers, log_ps: Sequence[npt.NDArray[np.float32]], n_prompt_tokens: int = 0
) -> RawPrediction:
    """The most likely choice of each question as one answer.

    Args:
        answers: the questions and their choices.
        log_ps: per question, log-probabilities of its choices, shape [C].
        n_prompt_tokens: of the prompt, for the record.
    """
    best = [int(np.argmax(lp)) for lp in log_ps]
    chosen, margins = [], []
    for lp, at, counts in zip(log_ps, best, answers.asked(best), strict=True):
        if counts:
            rest = np.delete(lp, at)
            chosen.append(float(lp[at]))
            margins.append(float(lp[at] - rest.max(initial=-60.0)))
    return RawPrediction(answers.answer(best), RawConfidence.of(chosen, margins), n_prompt_tokens)
