"""Our detectors inside Presidio's own engine."""

from __future__ import annotations

import pytest
import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from tests.a_users_detector import Badges

from deputize.privacy.presidio_recognizer import add_recognizers, presidio_recognizer


@pytest.fixture(scope="module")
def engine() -> AnalyzerEngine:
    """An engine of two languages with our recognizers alone."""
    nlp = SpacyNlpEngine(models=[{"lang_code": lang, "model_name": "blank"} for lang in ("en", "de")])
    nlp.nlp = {lang: spacy.blank(lang) for lang in ("en", "de")}
    registry = RecognizerRegistry(supported_languages=["en", "de"])
    add_recognizers(registry, languages=["en", "de"])
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en", "de"])


@pytest.mark.parametrize(
    ("language", "text", "kind", "value"),
    [
        ("en", "Please mail ann.lee@corp.com about it", "EMAIL_ADDRESS", "ann.lee@corp.com"),
        (
            "en",
            "reach me: ann (dot) lee (at) corp (dot) com",
            "EMAIL_ADDRESS",
            "ann (dot) lee (at) corp (dot) com",
        ),
        ("de", "Meine IBAN ist DE89 3704 0044 0532 0130 00", "IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
    ],
)
def test_the_engine_finds_what_our_rules_find(
    engine: AnalyzerEngine, language: str, text: str, kind: str, value: str
) -> None:
    found = [(r.entity_type, text[r.start : r.end]) for r in engine.analyze(text, language=language)]
    assert (kind, value) in found, found


def test_the_engine_knows_who_found_it_and_may_ask_for_one_type(engine: AnalyzerEngine) -> None:
    text = "mail ann.lee@corp.com, card 4111 1111 1111 1111"
    (only,) = engine.analyze(text, language="en", entities=["CREDIT_CARD"])
    assert only.entity_type == "CREDIT_CARD"
    assert only.recognition_metadata["recognizer_name"].startswith("deputize-")
    assert {"PERSON", "EMAIL_ADDRESS", "IBAN_CODE"} <= set(engine.get_supported_entities("de"))


def test_a_users_detector_goes_the_same_way() -> None:
    one = presidio_recognizer(Badges(), language="fr", types=["BADGE"])
    assert (one.supported_language, one.supported_entities) == ("fr", ["BADGE"])
