"""Numbers of states: right check digits are known, wrong ones are not, and a weak form needs a word before it."""

from __future__ import annotations

import pytest

from deputize.privacy.national_ids import ID_FORMS, id_forms

SURE = {
    "BE": "85.07.30-033 28", "BR": "390.533.447-05", "CH": "756.9217.0769.85", "CN": "11010519491231002X", "DK": "071186-4212",
    "ES": "12345678Z", "FI": "131052-308T", "FR": "2 55 08 14 168 025 38", "GB": "AB123456C", "IE": "1234567T",
    "IT": "RSSMRA85T10A562S", "KR": "900101-1234567", "PL": "44051401359", "RU": "112-233-445 95", "SE": "811218-9876",
    "SG": "S1234567D", "TR": "10000000146", "TW": "A123456789", "US": "536-90-4399", "EU": "DE136695976", "ZA": "8001015009087",
    "MX": "HEGG560427MVZRRL04", "NO": "01010750160", "IN": "2341 2341 2346",
}  # fmt: skip


@pytest.mark.parametrize(("country", "number"), SURE.items())
def test_a_number_with_right_check_digits_is_known_without_a_word_before_it(
    country: str, number: str
) -> None:
    assert country in [form.country for form in id_forms(number, in_context=False)]


@pytest.mark.parametrize(
    ("country", "number"),
    [("ES", "12345678A"), ("FR", "2 55 08 14 168 025 39"), ("CN", "110105194912310021"), ("TR", "10000000147"), ("PL", "44051401358"), ("IN", "2341 2341 2347")],
)  # fmt: skip
def test_a_wrong_check_digit_is_seen(country: str, number: str) -> None:
    assert country not in [form.country for form in id_forms(number, in_context=True)]


def test_a_weak_form_needs_a_word_before_it() -> None:
    assert not id_forms("123456782", in_context=False)
    assert "IL" in [form.country for form in id_forms("123456782", in_context=True)]
    assert not id_forms("11111111111", in_context=True)


def test_some_sixty_countries_are_covered() -> None:
    assert len({form.country for form in ID_FORMS}) >= 58
