"""Comparison of an export, loaded back, with the specialist it was made of: answer for answer, on the same requests."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.contracts import agree, same_value
from deputize.core.records import Prediction, Record, Request
from deputize.specialists.base import Predictor
from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.predictor import SpecialistPredictor


class ExportComparison(Record):
    """Answers of an export and of the specialist it was made of."""

    n: int
    """Requests that both were asked."""
    n_same: int = 0
    """Requests with the same answer to the letter, or with none from either."""
    n_agreeing: int = 0
    """Requests whose answers agree by the task's contract, which does not compare free text."""
    n_served: int = 0
    """Requests that the specialist's confidence reaches the route's threshold for."""
    n_same_served: int = 0
    """Of these: whose answers agree by the contract."""
    n_same_decision: int | None = None
    """Requests for which both are on the same side of the threshold; None: the export's confidence has another
    meaning."""
    max_confidence_difference: float | None = None
    requests: str = ""
    """Where the requests are from."""
    engine: str = ""
    """What answered for the export."""

    @property
    def sentence(self) -> str:
        """For the terminal and the card."""
        if not self.n:
            return "Not compared: no request was at hand, so nobody knows whether it answers like the specialist of the route."
        same = (
            f"the same answer for all {self.n} requests"
            if self.n_same == self.n
            else f"the same answer for {self.n_same} of {self.n} requests"
        )
        if self.n_agreeing != self.n_same:
            same += f" ({self.n_agreeing} by the task's contract, which does not compare free text)"
        served = f"of the {self.n_served} that the route serves, {self.n_same_served} agree"
        side = (
            "its confidence is not the specialist's, so the threshold does not apply to it"
            if self.n_same_decision is None
            else f"on the same side of the threshold for {self.n_same_decision}"
        )
        return f"Compared ({self.requests}; {self.engine}): {same}; {served}; {side}."


def compare(
    own: SpecialistPredictor,
    loaded: LoadedExport,
    requests: Sequence[Request],
    threshold: float,
    source: str,
) -> ExportComparison:
    """Asks both for every request, one at a time.

    Args:
        own: the specialist of the route.
        loaded: the export.
        requests: to ask.
        threshold: of the route.
        source: where the requests are from, for people.
    """
    other = SpecialistPredictor(own.specialist, loaded.predictor, own.settings, own.ood_detector)
    pairs = [(_ask(own, request), _ask(other, request)) for request in requests]
    contract = own.specialist.contract
    agreeing = [
        agree(its.answer, mine.answer, contract) or same_value(mine.answer, its.answer) for mine, its in pairs
    ]
    served = [yes for yes, (mine, _) in zip(agreeing, pairs, strict=True) if mine.confidence >= threshold]
    sides = differences = None
    if loaded.has_confidence and pairs:
        sides = sum((mine.confidence >= threshold) == (its.confidence >= threshold) for mine, its in pairs)
        differences = max(abs(mine.confidence - its.confidence) for mine, its in pairs)
    return ExportComparison(
        n=len(pairs),
        n_same=sum(same_value(mine.answer, its.answer) for mine, its in pairs),
        n_agreeing=sum(agreeing),
        n_served=len(served),
        n_same_served=sum(served),
        n_same_decision=sides,
        max_confidence_difference=differences,
        requests=source,
        engine=loaded.engine,
    )


def _ask(predictor: Predictor, request: Request) -> Prediction:
    (found,) = predictor.predict([request])
    return found
