"""Hidden values: found as they look, at their place in the original."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector, deobfuscate
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spacy_ner import SpacyDetector


def test_what_looks_plain_is_left_alone() -> None:
    assert deobfuscate("ann@corp.com") is None and deobfuscate("Москва и Киев") is None


def test_letters_of_other_scripts_and_invisible_characters() -> None:
    plain = deobfuscate("p\u0430ss\u200bword")
    assert plain and plain.text == "password" and plain.original(2, 5) == (2, 6)


def test_spans_have_positions_of_the_original() -> None:
    text = "to \u0430nn@c\u200borp.com now"
    (spans,) = DeobfuscatingDetector(RuleDetector()).detect([text])
    assert [text[s.start : s.end] for s in spans if s.type == "EMAIL_ADDRESS"] == ["\u0430nn@c\u200borp.com"]


def test_what_an_ensemble_asks_is_passed_on() -> None:
    plain = DeobfuscatingDetector(RuleDetector())
    assert plain.name == "rules" and not plain.skips_lines_without_names and not plain.skips_covered_lines
    spacy = DeobfuscatingDetector(SpacyDetector.__new__(SpacyDetector))
    assert spacy.skips_lines_without_names and not spacy.skips_covered_lines


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a.b AT corp DOT co DOT uk", "a.b@corp.co.uk"),
        ("a.b (at) corp (punkt) de", "a.b@corp.de"),
        ("ana arroba corp punto es", "ana@corp.es"),
        ("a . b @ c o r p . d e", "a.b@corp.de"),
        ("a&#64;corp&period;de", "a@corp.de"),
        ("a\\u0040corp.de", "a@corp.de"),
        ("a=40corp.de", "a@corp.de"),
        ("=?utf-8?B?YUBjb3JwLmRl?=", "a@corp.de"),
        ("ann@\ncorp.de", "ann@corp.de"),
        ("ann-\n.lee@corp.de", "ann.lee@corp.de"),
        ("531\u201312\u20134001", "531-12-4001"),
        ("\u24ea\u2460\u2461 \u0661\u0662", "012 12"),
        ("1\u03072", "12"),
        ("卡号4539148803436467的", "卡号 4539148803436467 的"),
    ],
)
def test_forms_that_hide_a_value(written: str, meant: str) -> None:
    plain = deobfuscate(written)
    assert plain is not None and plain.text == meant
    assert plain.original(0, len(plain.text)) == (0, len(written))


@pytest.mark.parametrize(
    "text", ["we met at noon. Then we left", "look at example.com", "a + b = c", "x = 40", "&c and so on"]
)
def test_prose_stays(text: str) -> None:
    assert deobfuscate(text) is None


@pytest.mark.parametrize(
    "piece", ["a.b", "a ", "x at ", "&a", "ab at cd ", "a-", "a.b.c at ", "=40", "\u200b1"]
)
def test_hostile_texts_take_no_time(piece: str) -> None:
    deobfuscate(piece * 20_000)
