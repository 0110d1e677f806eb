"""The standard detectors, and texts scanned as a stream."""

from __future__ import annotations

from deputize.core.config import Privacy
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.standard_detectors import scan_texts, standard_detectors

RULES: list[Detector] = [DeobfuscatingDetector(RuleDetector())]


def test_scan_is_a_stream_of_spans() -> None:
    texts = ["write to mia.li@mail.com", "nothing here", ""]
    spans = list(scan_texts(iter(texts), RULES))
    assert [[s.type for s in row] for row in spans] == [["EMAIL_ADDRESS"], [], []]


def test_standard_detectors_are_presidio_spacy_and_ours() -> None:
    standard = standard_detectors(policy_of("strict"))
    names = {d.name for d in standard.all}
    assert {"rules", "presidio"} <= names and ("spacy" in names) == (not standard.warnings)
    without = standard_detectors(privacy=Privacy(tagger="none"))
    assert ("spacy" in {d.name for d in without.all}) == (not without.warnings)


def test_beside_the_default_tagger_spacy_is_not_asked_for_people() -> None:
    standard = standard_detectors()
    assert "spacy" not in {d.name for d in standard.all} and not standard.warnings
