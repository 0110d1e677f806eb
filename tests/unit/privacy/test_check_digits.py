"""Check digits: right numbers pass, and no single changed digit does."""

from __future__ import annotations

import pytest

from deputize.privacy.check_digits import digits_of, is_aba_number, is_iban, is_luhn, is_nhs_number


def test_digits_of_a_text() -> None:
    assert digits_of("+1 (212) 555-0188") == "12125550188"


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (is_luhn, "4111111111111111"),
        (is_iban, "DE89370400440532013000"),
        (is_nhs_number, "9434765919"),
        (is_aba_number, "021000021"),
    ],
)
def test_a_changed_digit_is_noticed(check: object, number: str) -> None:
    assert callable(check) and check(number)
    start = 4 if number.startswith("DE") else 0
    for i in range(start, len(number)):
        changed = number[:i] + str((int(number[i]) + 1) % 10) + number[i + 1 :]
        assert not check(changed), changed


def test_numbers_of_another_length_are_refused() -> None:
    assert not is_luhn("42") and not is_luhn("0" * 16)
    assert not is_iban("DE89") and not is_nhs_number("123") and not is_aba_number("123")
