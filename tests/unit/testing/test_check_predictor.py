"""The contract of predictors notices what it is there to notice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deputize.core.records import Prediction, Request
from deputize.testing import check_predictor

REQUESTS = [Request(messages=[{"role": "user", "content": text}]) for text in ("one", "two", "three")]


class Echo:
    def answer(self, request: Request, place: int, n: int) -> Prediction:
        return Prediction(answer=request.messages[0]["content"], confidence=0.5)

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        return [self.answer(r, i, len(requests)) for i, r in enumerate(requests)]


class ByPlace(Echo):
    def answer(self, request: Request, place: int, n: int) -> Prediction:
        return Prediction(answer=str(place), confidence=0.5)


class TooSure(Echo):
    def answer(self, request: Request, place: int, n: int) -> Prediction:
        return Prediction(answer=None, confidence=0.5)


class ByCompany(Echo):
    def answer(self, request: Request, place: int, n: int) -> Prediction:
        return Prediction(answer="x", confidence=1 / n)


class Backwards(Echo):
    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        return super().predict(requests)[:-1]


def test_a_good_predictor_passes() -> None:
    check_predictor(Echo(), REQUESTS)


@pytest.mark.parametrize(
    ("predictor", "promise"),
    [
        (ByPlace(), "company"),
        (TooSure(), "no confidence"),
        (ByCompany(), "confidence"),
        (Backwards(), "one prediction per request"),
    ],
)
def test_a_broken_predictor_is_named(predictor: Echo, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_predictor(predictor, REQUESTS)
