"""Check digits of numbers: payment cards, bank accounts, the NHS, American banks. Pure."""

from __future__ import annotations

import re


def digits_of(text: str) -> str:
    """The digits of a text, in order."""
    return "".join(c for c in text if c.isdigit())


def is_luhn(text: str) -> bool:
    """True where the digits of a text end in their Luhn check digit (13 to 19 digits, not all alike)."""
    digits = [int(c) for c in digits_of(text)]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """True where a text is an IBAN by its modulus 97."""
    compact = re.sub(r"[ -]", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact):
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def is_nhs_number(digits: str) -> bool:
    """True where ten digits are a number of the National Health Service, by its modulus 11 (NHS Data Dictionary)."""
    if len(digits) != 10:
        return False
    check = -sum(int(d) * w for d, w in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check == int(digits[9])


def is_aba_number(digits: str) -> bool:
    """True where nine digits are a routing number of an American bank, by its modulus 10 (ABA, weights 3, 7, 1)."""
    return len(digits) == 9 and sum(int(d) * w for d, w in zip(digits, (3, 7, 1) * 3, strict=True)) % 10 == 0
