"""Numbers in other digits keep form and check digits."""

from __future__ import annotations

from random import Random

from deputize.privacy.check_digits import is_iban, is_luhn
from deputize.privacy.replace import number_forms


def test_forms_and_check_digits_are_kept() -> None:
    rng = Random(1)
    card = number_forms.other_card("4539 1488 0343 6467", rng)
    assert is_luhn(card) and card[4] == card[9] == " " and card != "4539 1488 0343 6467"
    iban = number_forms.other_iban("DE89 3704 0044 0532 0130 00", rng)
    assert is_iban(iban) and iban.startswith("DE") and iban.count(" ") == 5
    assert number_forms.other_phone("+44 (0)20 7946-0958", rng).startswith("+44 (")
    assert number_forms.other_ip_address("192.168.3.4", rng).startswith("192.168.")
    assert len(number_forms.other_amount("1,250.75", rng)) == 8
    assert number_forms.refill("٥٥-AB", rng)[2] == "-"


def test_a_telephone_number_is_written_with_and_without_its_country_code() -> None:
    assert {"491", "00491", "91", "1", "01"} <= set(number_forms.leads_of("PHONE_NUMBER", "491"))
    assert set(number_forms.leads_of("PHONE_NUMBER", "00491")) == {
        *number_forms.leads_of("PHONE_NUMBER", "491"),
        "00491",
    }
    assert {"01", "1"} <= set(number_forms.leads_of("PHONE_NUMBER", "01"))
    assert number_forms.leads_of("PHONE_NUMBER", "") == [""]
    assert number_forms.leads_of("CREDIT_CARD", "4") == ["4"], "it has no other form"
