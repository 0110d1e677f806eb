"""spaCy's entities: only what looks like a name of its kind."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.base import UNSURE_SCORE
from deputize.privacy.detectors.spacy_ner import SCORE, SpacyDetector, model_path

pytest.importorskip("faker")


@pytest.fixture(scope="module")
def detector() -> SpacyDetector:
    path = model_path()
    if path is None:
        pytest.skip("spaCy's small model is not installed")
    return SpacyDetector(path)


def test_names_and_their_places(detector: SpacyDetector) -> None:
    text = "Yesterday Barack Obama met Angela Merkel's team."
    (spans,) = detector.detect([text])
    assert [text[s.start : s.end] for s in spans] == ["Barack Obama", "Angela Merkel"]
    assert all(s.type == "PERSON" and s.score in (SCORE, UNSURE_SCORE) for s in spans)


def test_places_are_found_only_where_they_are_wanted(detector: SpacyDetector) -> None:
    text = "She moved from Berlin to Chicago last year."
    assert detector.detect([text]) == [[]]
    path = model_path()
    assert path is not None
    (spans,) = SpacyDetector(path, frozenset({"LOCATION"})).detect([text])
    assert {text[s.start : s.end] for s in spans} == {"Berlin", "Chicago"}


def test_a_long_text_is_read_in_chunks_with_its_positions(detector: SpacyDetector) -> None:
    text = "please send the order to the office today. " * 200 + "Then Barack Obama left."
    (spans,) = detector.detect([text])
    assert "Barack Obama" in {text[s.start : s.end] for s in spans}


def test_new_words_of_a_log_do_not_stay_in_memory(detector: SpacyDetector) -> None:
    detector.detect(["Anna was here."])
    strings = detector._nlp.vocab.strings
    before = len(strings)
    detector.detect([f"Kra{n}zu Bo{n}mel wrote of the zo{n}mil." for n in range(50)])
    assert len(strings) == before
