"""The threshold: the best of the tagger and its companions together, with few findings in clean texts."""

from __future__ import annotations

from deputize.core.progress import silent
from deputize.privacy.detectors.base import Span
from deputize.privacy.tagger.labelled_text import Label, Sample
from deputize.privacy.tagger.threshold import DEFAULT_THRESHOLD, MAX_ADDED, choose_threshold, rank_findings


def span(start: int, end: int) -> Span:
    return Span("PERSON", start, end, 0.9, "x")


NAMED = Sample(id="a", text="Ann Lee came", spans=[Label(type="PERSON", start=0, end=7)])
CLEAN = Sample(id="b", text="nobody came")


def test_without_validation_samples_it_is_the_default() -> None:
    assert choose_threshold(None, None, ["PERSON"], [], [], silent) == (DEFAULT_THRESHOLD, {})


def test_findings_in_clean_texts_weigh_more_than_recall() -> None:
    samples = [NAMED, CLEAN]
    half, _ = rank_findings(samples, [[span(0, 3)], []], [[], []])
    whole, figures = rank_findings(samples, [[span(0, 7)], []], [[], []])
    greedy, _ = rank_findings(samples, [[span(0, 7)], [span(0, 6)]], [[], []])
    assert greedy < half < whole and whole == (0.0, 1.0) and greedy[0] == -(1 - MAX_ADDED)
    assert figures["char_recall"] == 1.0


def test_what_a_companion_finds_too_is_not_added_by_the_tagger() -> None:
    rank, figures = rank_findings([NAMED, CLEAN], [[], [span(0, 6)]], [[span(0, 7)], [span(0, 6)]])
    assert rank[0] == 0.0 and rank[1] > 0.8 and figures["char_recall"] == 0.0
