"""Our recognizers find what the stock ones miss, and leave ordinary text alone."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.privacy.check_digits import is_iban, is_luhn
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector, deobfuscate
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.spans import merge_spans

RULES = RuleDetector()


def found(text: str) -> set[tuple[str, str]]:
    return {(s.type, text[s.start : s.end]) for s in merge_spans([RULES.detect([text])[0]])}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("mail a.b+c@ex-am.co.uk now", "EMAIL_ADDRESS", "a.b+c@ex-am.co.uk"),
        ("call +1 (234) 817-8325 now", "PHONE_NUMBER", "+1 (234) 817-8325"),
        ("or 212-555-0188.", "PHONE_NUMBER", "212-555-0188"),
        ("phone: 2125550188", "PHONE_NUMBER", "2125550188"),
        ("SSN 925-22-8758", "US_SSN", "925-22-8758"),
        ("card 4111 1111 1111 1111", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("to DE89 3704 0044 0532 0130 00", "IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
        ('DB_PASS = "KfX3813SO9l"', "PASSWORD", "KfX3813SO9l"),
        ('dbPass: "JrE63AH4zeA",', "PASSWORD", "JrE63AH4zeA"),
        ('pass := "A0$Ufie$K"', "PASSWORD", "A0$Ufie$K"),
        ("my password is hunter2", "PASSWORD", "hunter2"),
        ("postgres://bob:s3cr3t@db/x", "PASSWORD", "s3cr3t"),
        ('API_KEY="sk-QIv6Gv5NoYUqN16qjIYnEHl8jTWNVi5s"', "API_KEY", "sk-QIv6Gv5NoYUqN16qjIYnEHl8jTWNVi5s"),
        ("Authorization: Bearer abcDEF123456ghiJKL", "API_KEY", "abcDEF123456ghiJKL"),
        ("key AKIAIOSFODNN7EXAMPLE", "API_KEY", "AKIAIOSFODNN7EXAMPLE"),
        ('{"user_id": "mia_li_3668"}', "USERNAME", "mia_li_3668"),
        ("my user ID is mia_li_3668.", "USERNAME", "mia_li_3668"),
        ("Record MRN-7419342", "MEDICAL_RECORD", "MRN-7419342"),
        ("Policy number: PN-88213-A", "POLICY_NUMBER", "PN-88213-A"),
        ("Account: 9074607450", "BANK_ACCOUNT", "9074607450"),
        ("Passport: E57870241", "PASSPORT", "E57870241"),
        ("born on April 5, 1990", "DATE_OF_BIRTH", "April 5, 1990"),
        ('"dob": "1990-04-05"', "DATE_OF_BIRTH", "1990-04-05"),
        ("at 3884 Elm Dr, Chester, AL 29151", "STREET_ADDRESS", "3884 Elm Dr, Chester, AL 29151"),
        ('"address1": "975 Sunset Drive"', "STREET_ADDRESS", "975 Sunset Drive"),
        ('{"first_name": "Mia"}', "PERSON", "Mia"),
        ("hi my name is steve", "PERSON", "steve"),
        ("Plaintiff: George Flores", "PERSON", "George Flores"),
        ("Customer: Brakou Zeiddak", "PERSON", "Brakou Zeiddak"),
        ("**Patient name:** Quiola van Drae", "PERSON", "Quiola van Drae"),
        ("Dear Carol Martin,", "PERSON", "Carol Martin"),
        ("host 114.156.136.92", "IP_ADDRESS", "114.156.136.92"),
        ("MAC: df:d4:0e:6b:c4:a1", "MAC_ADDRESS", "df:d4:0e:6b:c4:a1"),
        ("Case 2023-CRIM-9738", "CASE_NUMBER", "2023-CRIM-9738"),
    ],
)
def test_found(text: str, kind: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "flight HAT069 at 06:00:00 for $121, reservation EHGLP3",
        "max_tokens: 2048, temperature 0.7, version 1.2.3",
        "password: required",
        '{"password": {"type": "string"}}',
        "order 4421486 ships in 3 to 5 days",
        "a 20 minute drive to the next street",
        "what is my pin number",
        "Customer: Premium Support",
        "Client: please call back",
        "please name the capital of france",
        "id: credit_card_4421486",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
    ],
)
def test_left_alone(text: str) -> None:
    assert found(text) == set()


def test_checksums() -> None:
    assert is_luhn("4111-1111-1111-1111") and not is_luhn("4111-1111-1111-1112") and not is_luhn("0" * 16)
    assert is_iban("GB29NWBK60161331926819") and not is_iban("GB28NWBK60161331926819")


def test_union_keeps_everything_found_once() -> None:
    spans = [Span("A", 0, 10, 0.5, "x"), Span("B", 2, 5, 0.9, "y"), Span("B", 2, 5, 0.9, "z")]
    joined = merge_spans([spans])
    assert [(s.type, s.start, s.end) for s in joined] == [("B", 2, 5), ("A", 5, 10)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(0.1, 1)), max_size=8))
def test_union_never_overlaps(rows: list[tuple[int, int, float]]) -> None:
    joined = merge_spans([[Span("A", min(a, b), max(a, b), score, "x") for a, b, score in rows]])
    assert all(x.end <= y.start for x, y in pairwise(joined))


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    for span in DeobfuscatingDetector(RULES).detect([text])[0]:
        assert 0 <= span.start < span.end <= len(text)


def test_disguises_are_undone_and_places_are_the_originals() -> None:
    text = "Contact Ro\u200bbert Jo\ufeffnes at bеtty.jоnes@mаil.com"
    plain = deobfuscate(text)
    assert plain is not None and plain[0] == "Contact Robert Jones at betty.jones@mail.com"
    values = {text[s.start : s.end] for s in DeobfuscatingDetector(RULES).detect([text])[0]}
    assert {"Ro\u200bbert Jo\ufeffnes", "bеtty.jоnes@mаil.com"} <= values
    assert deobfuscate("Привет мир") is None


@pytest.mark.parametrize(
    "text",
    [
        "A" + "a" * 5000 + " x",
        "Aa" * 3000,
        "a_" * 3000,
        "1 " * 4000,
        "Ab-" * 3000,
        "@a." * 2000,
        "Xx " * 4000,
        "key=" * 3000,
    ],
)
def test_hostile_lines_take_no_time(text: str) -> None:
    began = time.perf_counter()
    RULES.detect([text])
    assert time.perf_counter() - began < 3
