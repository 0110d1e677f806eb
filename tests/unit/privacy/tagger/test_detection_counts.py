"""Recall, precision and over-masking as a reader would count them by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.privacy.tagger import DetectionCounts, Label, Sample
from deputize.privacy.tagger.detection_counts import DIRECT, f_beta


def label(start: int, end: int, *, direct: bool = True) -> Label:
    return Label(
        type="PERSON" if direct else "CITY",
        start=start,
        end=end,
        sensitivity=DIRECT if direct else "quasi_identifier",
    )


def test_counting_by_hand() -> None:
    #                              0123456789012345
    sample = Sample(id="a", text="Ann Lee of Oslo.", spans=[label(0, 7), label(11, 15, direct=False)])
    tally = DetectionCounts()
    tally.add(sample, [label(0, 3), label(8, 10)])  # "Ann" and, wrongly, "of"
    tally.add(Sample(id="b", text="all clean"), [])
    tally.add(Sample(id="c", text="not clean"), [label(0, 3)])
    figures = tally.figures()
    assert figures["char_recall"] == 3 / 10 and figures["char_recall_direct"] == 3 / 6
    assert figures["char_precision"] == 3 / 8
    assert figures["span_recall"] == figures["span_recall_direct"] == 0, "half a name is not a name found"
    assert figures["span_precision"] == 1 / 3
    assert figures["over_masking"] == 1 / 2 and figures["over_masking_chars"] == 3 / 16
    assert tally.recall_by_type() == {"PERSON": (0, 1), "CITY": (0, 1)}


def test_a_comma_left_over_gives_nothing_away() -> None:
    tally = DetectionCounts()
    tally.add(Sample(id="a", text="Lee, Ann", spans=[label(0, 8)]), [label(0, 3), label(5, 8)])
    assert tally.figures()["span_recall"] == 1


def test_nothing_counted_is_none() -> None:
    assert set(DetectionCounts().figures().values()) == {None}
    assert f_beta(0.0, 0.0) == 0 and f_beta(None, 1.0) is None
    assert f_beta(0.5, 1.0) == pytest.approx(2.5 / 3)


STRETCHES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).filter(lambda x: x[0] < x[1]), max_size=5
)


@given(st.text("ab c", min_size=31, max_size=31), STRETCHES, STRETCHES)
def test_more_found_is_never_less_recall(text: str, gold: list[list[int]], found: list[list[int]]) -> None:
    sample = Sample(id="a", text=text, spans=[label(s, e) for s, e in gold])
    some, more, exact = DetectionCounts(), DetectionCounts(), DetectionCounts()
    some.add(sample, [label(s, e) for s, e in found])
    more.add(sample, [label(0, 31)])
    exact.add(sample, sample.spans)
    for key in ("char_recall", "span_recall", "char_recall_direct"):
        a, b = some.figures()[key], more.figures()[key]
        assert (a is None) == (b is None) and (a is None or b is None or a <= b)
    assert exact.figures()["char_recall"] in (None, 1) and exact.figures()["char_precision"] in (None, 1)
    assert all(v is None or 0 <= v <= 1 for v in some.figures().values())
