"""Hidden values: found as they look, at their place in the original."""

from __future__ import annotations

from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector, deobfuscate
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spacy_ner import SpacyDetector


def test_what_looks_plain_is_left_alone() -> None:
    assert deobfuscate("ann@corp.com") is None and deobfuscate("Москва и Киев") is None


def test_letters_of_other_scripts_and_invisible_characters() -> None:
    assert deobfuscate("p\u0430ss\u200bword") == ("password", [0, 1, 2, 3, 5, 6, 7, 8, 9])


def test_spans_have_positions_of_the_original() -> None:
    text = "to \u0430nn@c\u200borp.com now"
    (spans,) = DeobfuscatingDetector(RuleDetector()).detect([text])
    assert [text[s.start : s.end] for s in spans if s.type == "EMAIL_ADDRESS"] == ["\u0430nn@c\u200borp.com"]


def test_what_an_ensemble_asks_is_passed_on() -> None:
    plain = DeobfuscatingDetector(RuleDetector())
    assert plain.name == "rules" and not plain.skips_lines_without_names and not plain.skips_covered_lines
    spacy = DeobfuscatingDetector(SpacyDetector.__new__(SpacyDetector))
    assert spacy.skips_lines_without_names and not spacy.skips_covered_lines
