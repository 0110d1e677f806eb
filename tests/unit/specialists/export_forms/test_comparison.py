"""Comparisons say what was seen, never more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests import tiny_specialist

from deputize.specialists.base import RawPrediction, TextPredictor
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.export_forms.comparison import ExportComparison, compare
from deputize.specialists.predictor import load


class Wrong:
    """Answers the first two requests like another predictor and nothing to the rest."""

    def __init__(self, other: TextPredictor) -> None:
        self.other, self.n = other, 0

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        self.n += 1
        return (
            self.other.predict(texts) if self.n <= 2 else [RawPrediction(None, RawConfidence(0.0, 0.0, 0.0))]
        )


def test_each_answer_is_looked_at(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    own, requests = load(stored.folder, tiny[0]), tiny_specialist.requests(6)
    equal = compare(own, LoadedExport(own.text_predictor, "itself"), requests, 0.0, "some calls")
    assert (equal.n, equal.n_same, equal.n_served, equal.n_same_served) == (6, 6, 6, 6)
    assert equal.n_agreeing == 6 and equal.n_same_decision == 6 and equal.max_confidence_difference == 0.0
    assert "the same answer for all 6 requests" in equal.sentence and "some calls; itself" in equal.sentence
    other = LoadedExport(Wrong(own.text_predictor), "another", has_confidence=False)
    found = compare(own, other, requests, 0.0, "some calls")
    assert (found.n, found.n_same, found.n_same_served, found.n_same_decision) == (6, 2, 2, None)
    assert found.n_agreeing == 2 and "contract" not in found.sentence
    assert "for 2 of 6 requests" in found.sentence and "the threshold does not apply" in found.sentence


def test_free_text_makes_an_answer_another_one_but_not_one_that_disagrees() -> None:
    found = ExportComparison(n=6, n_same=2, n_agreeing=5)
    assert "for 2 of 6 requests (5 by the task's contract" in found.sentence


def test_without_a_request_nothing_is_claimed() -> None:
    assert ExportComparison(n=0).sentence.startswith("Not compared")
