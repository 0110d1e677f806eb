"""Numbers and addresses of machines in other digits: of the same form, with valid check digits."""

from __future__ import annotations

import re
import string
from random import Random

from deputize.privacy.check_digits import digits_of, is_iban, is_luhn
from deputize.privacy.scripts import character_like


def other_character(char: str, rng: Random, hexadecimal: str = "") -> str:
    if hexadecimal:
        made = rng.choice(hexadecimal)
        return made.upper() if char.isupper() else made
    return character_like(char, rng)


def refill(value: str, rng: Random, at: int = 0) -> str:
    """Every letter and digit from `at` on replaced by another of its class."""
    made = value[:at] + "".join(other_character(c, rng) for c in value[at:])
    first = next((i for i in range(at, len(value)) if value[i].isdigit()), None)
    if first is not None and value[first] != "0" and made[first] == "0":
        made = made[:first] + rng.choice("123456789") + made[first + 1 :]
    return made


def fill_digits(value: str, digits: str) -> str:
    source = iter(digits)
    return "".join(next(source) if c.isdigit() else c for c in value)


def other_amount(value: str, rng: Random) -> str:
    """A number of the same size and form: the first two digits and zeros at the end of decimals are kept, the other
    digits are random."""
    if "." in value and value[-1] in "0.":
        return other_amount(value[:-1], rng) + value[-1]
    seen = 0

    def digit(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        return match.group() if seen <= 2 else rng.choice(string.digits)

    return re.sub(r"\d", digit, value)


def leads_of(kind: str, lead: str) -> list[str]:
    """Digits that may stand right before the last digits of a number, written in another way: of a telephone number
    with its country code (one to three digits) also without it, with a 0 in its place, or with 00 before it.

    Args:
        kind: type of the value.
        lead: its digits before the last ones.
    """
    if kind != "PHONE_NUMBER" or not lead:
        return [lead]
    code = lead.removeprefix("00")
    without = [code[n:] for n in range(1, 4) if n <= len(code)] if not code.startswith("0") else [code[1:]]
    return list(dict.fromkeys([lead, code, f"00{code}", *without, *(f"0{rest}" for rest in without)]))


def other_phone(value: str, rng: Random) -> str:
    """Other digits in the same form; a country code before ten digits is kept."""
    digits = digits_of(value)
    body = [rng.choice(string.digits) for _ in range(10)]
    body[0], body[3] = rng.choice("23456789"), rng.choice("23456789")
    if len(digits) >= 10:
        return fill_digits(value, digits[:-10] + "".join(body))
    return fill_digits(value, "".join(body[-len(digits) :]))


def other_card(value: str, rng: Random) -> str:
    digits = digits_of(value)
    stem = digits[0] + "".join(rng.choice(string.digits) for _ in digits[1:-1])
    for check in string.digits:
        if is_luhn(stem + check):
            return fill_digits(value, stem + check)
    return fill_digits(value, stem + "0")


def other_iban(value: str, rng: Random) -> str:
    compact = [c for c in value if c.isalnum()]
    body = "".join(other_character(c, rng) for c in compact[4:])
    for check in range(2, 99):
        made = f"{compact[0]}{compact[1]}{check:02d}{body}"
        if is_iban(made):
            break
    source = iter(made)
    return "".join(next(source) if c.isalnum() else c for c in value)


def other_ip_address(value: str, rng: Random) -> str:
    if ":" in value:
        return re.sub(r"[0-9A-Fa-f]", lambda m: other_character(m.group(), rng, "0123456789abcdef"), value)
    private = re.match(r"(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.", value)
    kept = private.group().rstrip(".").split(".") if private else []
    return ".".join(kept + [str(rng.randint(1, 254)) for _ in range(4 - len(kept))])
