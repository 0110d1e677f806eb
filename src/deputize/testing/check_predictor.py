"""Contract of predictors: what `deputize.specialists.base.Predictor` promises."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.records import Prediction, Request
from deputize.specialists.base import Predictor


def check_predictor(predictor: Predictor, requests: Sequence[Request]) -> None:
    """Checks that a predictor keeps its promises on these requests (give it at least two different ones).

    Raises:
        AssertionError: names the promise that is broken.
    """
    assert predictor.predict([]) == [], "no requests, no predictions"
    together = predictor.predict(requests)
    assert len(together) == len(requests), "one prediction per request"
    for one in together:
        check_prediction(one)
    again = predictor.predict(requests)
    assert [p.answer for p in again] == [p.answer for p in together], "the same requests get the same answers"
    alone = [predictor.predict([r])[0] for r in requests]
    check_same(alone, together, "company in a batch does not change")
    turned = predictor.predict(list(reversed(requests)))
    assert [p.answer for p in reversed(turned)] == [p.answer for p in together], (
        "predictions come in the requests' order"
    )


def check_prediction(one: Prediction) -> None:
    """Checks one prediction by itself. Raises AssertionError."""
    assert 0.0 <= one.confidence <= 1.0, "confidence lies in [0, 1]"
    assert one.answer is not None or one.confidence == 0.0, "without an answer there is no confidence"
    assert one.n_prompt_tokens >= 0 and one.n_output_tokens >= 0 and one.latency_ms >= 0, (
        "counts are not negative"
    )


def check_same(some: Sequence[Prediction], others: Sequence[Prediction], promise: str) -> None:
    """Checks that answers are equal and confidences within .02. Raises AssertionError."""
    assert [p.answer for p in some] == [p.answer for p in others], f"{promise} an answer"
    for one, other in zip(some, others, strict=True):
        assert abs(one.confidence - other.confidence) < 0.02, f"{promise} the confidence"
