"""How close the LLM's replies are by a measure, from which a person chooses the level at which two of them agree.

Two kinds of pairs bound the level: replies to equal requests (the LLM's second answer is no closer than that, so
neither need a specialist's be), and replies to different requests (what is that close by chance says nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from deputize.core.contracts import answer_of
from deputize.core.records import Contract, Example, Record, encode
from deputize.core.text_measures import MeasureName, similarity

MAX_PAIRS = 500
"""Pairs of a kind that are compared."""


class MeasureFigures(Record):
    """Closeness of the replies of a task, from 0 to 1."""

    measure: MeasureName
    n_equal_requests: int
    """Pairs of replies to equal requests."""
    equal_requests: tuple[float, float] | None
    """(median, 10th percentile) of them; None where the LLM was asked nothing twice."""
    n_different_requests: int
    """Pairs of replies to different requests."""
    different_requests: tuple[float, float] | None
    """(median, 90th percentile) of them; None where there are fewer than two requests."""


def measure_figures(
    examples: Sequence[Example], contract: Contract, measure: MeasureName, field: str = ""
) -> MeasureFigures:
    """How close replies of one task are.

    Args:
        examples: of the task; answers of calibration and test are not looked at.
        contract: of the task.
        measure: by its name.
        field: of JSON replies; "": the replies are texts.
    """
    by_request: dict[bytes, list[str]] = {}
    for example in examples:
        text = _text(example, contract, field)
        if text is not None and example.split in ("train", "validation"):
            by_request.setdefault(encode(example.request), []).append(text)
    equal = [pair for texts in by_request.values() for pair in pairwise(texts)][:MAX_PAIRS]
    different = list(pairwise(texts[0] for texts in by_request.values()))[:MAX_PAIRS]
    equal_F = sorted(similarity(a, b, measure) for a, b in equal)
    different_F = sorted(similarity(a, b, measure) for a, b in different)
    return MeasureFigures(
        measure=measure,
        n_equal_requests=len(equal),
        equal_requests=_quantiles(equal_F, 0.1),
        n_different_requests=len(different),
        different_requests=_quantiles(different_F, 0.9),
    )


def _text(example: Example, contract: Contract, field: str) -> str | None:
    answer = answer_of(example.response, contract)
    if field and isinstance(answer, dict):
        answer = answer.get(field)
    return answer if isinstance(answer, str) else None


def _quantiles(ordered: Sequence[float], share: float) -> tuple[float, float] | None:
    """(median, the quantile of a share) of ordered values."""
    if not ordered:
        return None
    n = len(ordered)
    return ordered[n // 2], ordered[min(n - 1, int(share * n))]
