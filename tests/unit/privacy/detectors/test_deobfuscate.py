"""Hidden values: found as they look, at their place in the original."""

from __future__ import annotations

import gc
import time
import unicodedata

import pytest

from deputize.privacy.detectors.deobfuscate import (
    MAX_CACHED_CHARS,
    DeobfuscatingDetector,
    deobfuscate,
    may_be_disguised,
)
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
        ("ann\ufe6bcorp.de", "ann@corp.de"),
        ("ann@corp。de", "ann@corp.de"),
        ("ann@corp\u2024de", "ann@corp.de"),
        ("ann&amp;amp;#64;corp.de", "ann@corp.de"),
        ("ann&#000000064corp.de", "ann@corp.de"),
        ("ann\\u{40}corp.de", "ann@corp.de"),
        ("ann%u0040corp.de", "ann@corp.de"),
        ("=61=6E=6E=40=63=6F=72=70=2E=64=65", "ann@corp.de"),
        ("a\u0336n\u0336n@corp.de\u0332", "ann@corp.de"),
        ("1\ufe0f\u20e32\ufe0f\u20e3 3\ufe0f\u20e3", "12 3"),
        ("+44/7700/9001/23", "+44-7700-9001-23"),
        ("+44_7700_9001_23", "+44-7700-9001-23"),
        ("(0221) · 471 · 0815", "(0221)-471-0815"),
        ("+44<br>7700 900123", "+44 7700 900123"),
        ("+44&nbsp;7700&nbsp;900123", "+44 7700 900123"),
        ("+44 77OO 9OO1 23", "+44 7700 9001 23"),
        ("ann\\@corp\\.de", "ann@corp.de"),
        ("ann**@**corp.de", "ann@corp.de"),
        ("ann<b>@</b>corp.de", "ann@corp.de"),
        ("ann<!-- no robots -->@corp.de", "ann@corp.de"),
        ("ann_lee_at_corp_dot_co_dot_uk", "ann_lee@corp.co.uk"),
        ("ann-at-corp-dot-de", "ann@corp.de"),
        ("annDOTleeATcorpDOTde", "ann.lee@corp.de"),
        ("ann собака corp точка de", "ann@corp.de"),
        ("ann艾特corp点de", "ann@corp.de"),
        ("ann アットマーク corp ドット de", "ann@corp.de"),
        ("ann एट corp डॉट de", "ann@corp.de"),
    ],
)
def test_forms_that_hide_a_value(written: str, meant: str) -> None:
    plain = deobfuscate(written)
    assert plain is not None and plain.text == meant
    start, end = plain.original(0, len(plain.text))
    assert start == 0 and not any(map(str.isalnum, written[end:]))
    looks = unicodedata.normalize("NFKC", written)
    assert may_be_disguised(written) or looks in (meant, meant.replace(" ", ""))


@pytest.mark.parametrize(
    "text",
    [
        "we met at noon. Then we left",
        "look at example.com",
        "a + b = c",
        "x = 40",
        "&c and so on",
        "use foo_at_bar, then dot_product",
        "моя собака точка зрения",
        "他在5点10分到",
        "a**b@c",
        "fooATbar",
        "build 1_000_000_000 rows in 5/4/3 steps",
        "10·20·30 matrix",
        "+1/2 cup, +5 lolo lol",
    ],
)
def test_prose_stays(text: str) -> None:
    assert deobfuscate(text) is None


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a.b",
            "a ",
            "x at ",
            "&a",
            "ab at cd ",
            "a-",
            "a.b.c at ",
            "=40",
            "\u200b1",
            "a点",
            "a艾特b点",
            "a_at_b_dot_",
        ),
        *("a@。", "x@", "aATbDOT", "<b>@", "&amp;", "é."),
    ],
)
def test_hostile_texts_take_no_time(piece: str) -> None:
    began = time.process_time()
    deobfuscate(piece * 20_000)
    assert time.process_time() - began < 2


def test_long_texts_are_not_remembered() -> None:
    before = len(gc.get_objects())
    for n in range(20):
        deobfuscate(f"{n}é" + "x" * MAX_CACHED_CHARS)
    assert len(gc.get_objects()) < before + 20
