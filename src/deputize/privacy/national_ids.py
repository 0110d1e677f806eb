"""Numbers that states give to people and firms: their forms and check digits, by country. Pure.

References:
    ISO 7064 (mod 97-10, mod 11,10), ISO 13616 (IBAN), the published rules of each issuing office; D. Gumm 1985 for the
    dihedral check (Verhoeff) of India's Aadhaar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from deputize.privacy.check_digits import is_nhs_number

Check = Callable[[str], bool]


def _weighted(text: str, weights: Sequence[int]) -> int:
    return sum(int(d) * w for d, w in zip(text, weights, strict=False))


def _luhn(text: str) -> bool:
    doubled = (sum(divmod(2 * int(d), 10)) for d in text[-2::-2])
    return (sum(map(int, text[-1::-2])) + sum(doubled)) % 10 == 0


def _mod_11_10(text: str) -> bool:
    """ISO 7064, mod 11,10: Croatia's OIB, Germany's tax number."""
    product = 10
    for digit in text[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(text[-1])


def _weights_mod_11(weights: Sequence[int], ten: int = 0) -> Check:
    """The last digit is the weighted sum of the others modulo 11; a remainder of 10 is written `ten`."""

    def check(text: str) -> bool:
        rest = _weighted(text, weights) % 11
        return (ten if rest == 10 else rest) == int(text[len(weights)])

    return check


def _complement_mod_11(weights: Sequence[int]) -> Check:
    """The last digit completes the weighted sum to a multiple of 11; 10 and 11 are written 0."""

    def check(text: str) -> bool:
        rest = -_weighted(text, weights) % 11
        return rest % 10 == int(text[len(weights)]) if rest == 10 else rest == int(text[len(weights)])

    return check


def _sum_mod(weights: Sequence[int], modulus: int) -> Check:
    """The weighted sum of all digits is a multiple of the modulus."""
    return lambda text: _weighted(text, weights) % modulus == 0


def _dated(at: str, then: Check | None = None, months: Sequence[int] = (0,)) -> Check:
    """The digits hold a date at the places where `at` has y, m and d; months may be raised by one of the given
    numbers."""
    places = {c: [i for i, a in enumerate(at) if a == c] for c in "ymd"}

    def check(text: str) -> bool:
        year, month, day = (int("".join(text[i] for i in places[c])) for c in "ymd")
        year = year if year > 99 else 2000 + year
        month = next((month - more for more in months if 1 <= month - more <= 12), 0)
        try:
            date(year if month != 2 else 2000, month, day - 40 if day > 40 and day < 72 else day)
        except ValueError:
            return False
        return then is None or then(text)

    return check


_D = [
    [
        (i + j) % 5
        if i < 5 and j < 5
        else (i + j) % 5 + 5
        if i < 5
        else (i - j) % 5 + 5
        if j < 5
        else (i - j) % 5
        for j in range(10)
    ]
    for i in range(10)
]
_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
while len(_P) < 8:
    _P.append([_P[1][n] for n in _P[-1]])


def _verhoeff(text: str) -> bool:
    total = 0
    for i, digit in enumerate(reversed(text)):
        total = _D[total][_P[i % 8][int(digit)]]
    return total == 0


def _spain(text: str) -> bool:
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


def _china(text: str) -> bool:
    weights = [2**i % 11 for i in range(17, 0, -1)]
    return _dated("......yyyymmdd")(text) and "10X98765432"[_weighted(text[:17], weights) % 11] == text[-1]


def _france(text: str) -> bool:
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return 97 - int(number) % 97 == int(text[13:15])


def _brazil(text: str) -> bool:
    if len(set(text)) == 1:
        return False
    first = _weighted(text[:9], range(10, 1, -1)) * 10 % 11 % 10
    return first == int(text[9]) and _weighted(text[:10], range(11, 1, -1)) * 10 % 11 % 10 == int(text[10])


def _brazil_firm(text: str) -> bool:
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    first = -_weighted(text[:12], weights[1:]) % 11 % 10
    return first == int(text[12]) and -_weighted(text[:13], weights) % 11 % 10 == int(text[13])


def _turkey(text: str) -> bool:
    digits = [int(c) for c in text]
    tenth = (7 * sum(digits[0:9:2]) - sum(digits[1:8:2])) % 10
    return tenth == digits[9] and sum(digits[:10]) % 10 == digits[10]


def _germany(text: str) -> bool:
    return len(set(text[:10])) in (8, 9) and _mod_11_10(text)


def _italy(text: str) -> bool:
    odd = dict(
        zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21) * 2 + (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True)
    )  # fmt: skip
    total = sum(odd[c] for c in text[0:15:2]) + sum(
        int(c) if c.isdigit() else ord(c) - 65 for c in text[1:15:2]
    )
    return chr(65 + total % 26) == text[15]


def _finland(text: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31] == text[10]


def _norway(text: str) -> bool:
    first = -_weighted(text[:9], (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    return first == int(text[9]) and -_weighted(text[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11 == int(
        text[10]
    )


def _belgium(text: str) -> bool:
    return int(text[9:]) in (97 - int(text[:9]) % 97, 97 - int("2" + text[:9]) % 97)


def _baltic(text: str) -> bool:
    rest = _weighted(text[:10], (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    rest = _weighted(text[:10], (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 if rest == 10 else rest
    return rest % 10 == int(text[10])


def _ireland(text: str) -> bool:
    extra = (ord(text[8]) - 64) * 9 if len(text) > 8 else 0
    return "WABCDEFGHIJKLMNOPQRSTUV"[(_weighted(text[:7], range(8, 1, -1)) + extra) % 23] == text[7]


def _chile(text: str) -> bool:
    total = _weighted(text[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3))
    return "0123456789K"[-total % 11] == text[-1]


def _japan(text: str) -> bool:
    rest = _weighted(text[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest <= 1 else 11 - rest) == int(text[11])


def _singapore(text: str) -> bool:
    total = _weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if text[0] in "TG" else 0)
    return ("JZIHGFEDCBA" if text[0] in "ST" else "XWUTRQPNMLK")[total % 11] == text[8]


def _taiwan(text: str) -> bool:
    number = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(text[0]) + 10
    return (number // 10 + number % 10 * 9 + _weighted(text[1:9], range(8, 0, -1)) + int(text[9])) % 10 == 0


def _hong_kong(text: str) -> bool:
    letters = text[:-1].rjust(8)
    values = [36 if c == " " else ord(c) - 55 if c.isalpha() else int(c) for c in letters]
    total = sum(v * w for v, w in zip(values, range(9, 1, -1), strict=True))
    return "0123456789A"[-total % 11] == text[-1]


def _russia(text: str) -> bool:
    return _weighted(text[:9], range(9, 0, -1)) % 101 % 100 == int(text[9:])


def _swiss(text: str) -> bool:
    return _weighted(text, (1, 3) * 6 + (1,)) % 10 == 0


def _thailand(text: str) -> bool:
    return (11 - _weighted(text[:12], range(13, 1, -1)) % 11) % 10 == int(text[12])


class IdForm(NamedTuple):
    """The form of one country's number without separators."""

    country: str
    type: str
    pattern: re.Pattern[str]
    check: Check | None
    is_sure: bool
    """A number of this form is one wherever it stands; else a word of its kind must stand before it."""
    written: re.Pattern[str] | None = None
    """How it must be written to be found without a word before it; None: in any way."""


def _form(
    country: str,
    pattern: str,
    check: Check | None = None,
    *,
    sure: bool = False,
    written: str = "",
    type: str = "NATIONAL_ID",
) -> IdForm:
    return IdForm(country, type, re.compile(pattern), check, sure, re.compile(written) if written else None)


ID_FORMS: tuple[IdForm, ...] = (
    _form("AE", r"784\d{12}", _luhn, sure=True),
    _form("AR", r"(?:20|23|24|27|30|33)\d{9}", _complement_mod_11((5, 4, 3, 2, 7, 6, 5, 4, 3, 2)), sure=True, written=r"\d\d-\d{8}-\d"),
    _form("AT", r"\d{10}", _dated("....ddmmyy")),
    _form("AU", r"[2-6]\d{9,10}", None),
    _form("AU", r"\d{8,9}", _sum_mod((1, 4, 3, 7, 5, 8, 6, 9, 10), 11), type="TAX_ID"),
    _form("BE", r"\d{11}", _dated("yymmdd", _belgium), sure=True),
    _form("BG", r"\d{10}", _dated("yymmdd", _weights_mod_11((2, 4, 8, 5, 10, 9, 7, 3, 6)), (0, 20, 40))),
    _form("BR", r"\d{11}", _brazil, sure=True, written=r"\d{3}\.\d{3}\.\d{3}-\d\d"),
    _form("BR", r"\d{14}", _brazil_firm, sure=True, type="TAX_ID"),
    _form("CA", r"[1-79]\d{8}", _luhn, sure=True, written=r"\d{3}[ -]\d{3}[ -]\d{3}"),
    _form("CH", r"756\d{10}", _swiss, sure=True),
    _form("CL", r"\d{7,8}[\dK]", _chile, sure=True, written=r"[\d.]{7,10}-[\dKk]"),
    _form("CN", r"[1-9]\d{16}[\dX]", _china, sure=True),
    _form("CO", r"\d{6,10}"),
    _form("CZ", r"\d{9,10}", _dated("yymmdd", lambda t: len(t) == 9 or int(t) % 11 == 0, (0, 50, 20, 70)), sure=True, written=r"\d{6}/\d{3,4}"),
    _form("DE", r"[1-9]\d{10}", _germany, sure=True),
    _form("DE", r"\d{8}[A-Z]\d{3}", None, sure=True, type="HEALTH_ID"),
    _form("DE", r"[A-Z]\d{9}", None, type="HEALTH_ID"),
    _form("DK", r"\d{10}", _dated("ddmmyy"), sure=True, written=r"\d{6}-\d{4}"),
    _form("EC", r"[0-2]\d{9}", _luhn),
    _form("EE", r"[1-6]\d{10}", _dated(".yymmdd", _baltic), sure=True),
    _form("EG", r"[23]\d{13}", _dated(".yymmdd"), sure=True),
    _form("ES", r"(?:\d{8}|[XYZ]\d{7})[A-Z]", _spain, sure=True),
    _form("ES", r"\d{12}", lambda t: int(t[:10]) % 97 == int(t[10:]), type="HEALTH_ID"),
    _form("FI", r"\d{6}[-+ABCDEFUVWXY]\d{3}[0-9A-Y]", _finland, sure=True),
    _form("FR", r"[1-478]\d{4}(?:\d{2}|2[AB])\d{8}", _france, sure=True),
    _form("GB", r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", None, sure=True),
    _form("GB", r"\d{10}", is_nhs_number, sure=True, written=r"\d{3}[ -]\d{3}[ -]\d{4}", type="HEALTH_ID"),
    _form("GR", r"\d{11}", _dated("ddmmyy", _luhn), sure=True),
    _form("HK", r"[A-Z]{1,2}\d{6}[\dA]", _hong_kong, sure=True, written=r"[A-Z]{1,2}\d{6}\([\dA]\)?"),
    _form("HR", r"\d{11}", _mod_11_10),
    _form("HU", r"[1-8]\d{10}", _dated(".yymmdd", _sum_mod((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1), 11))),
    _form("ID", r"\d{16}", _dated("......ddmmyy")),
    _form("IE", r"\d{7}[A-W][A-IW]?", _ireland, sure=True),
    _form("IL", r"\d{9}", _luhn),
    _form("IN", r"[2-9]\d{11}", _verhoeff, sure=True, written=r"\d{4}[ -]\d{4}[ -]\d{4}"),
    _form("IN", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", None, sure=True, type="TAX_ID"),
    _form("IN", r"\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z]Z[0-9A-Z]", None, sure=True, type="TAX_ID"),
    _form("IS", r"\d{10}", _dated("ddmmyy", _complement_mod_11((3, 2, 7, 6, 5, 4, 3, 2))), sure=True, written=r"\d{6}-\d{4}"),
    _form("IT", r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", _italy, sure=True),
    _form("JP", r"\d{12}", _japan),
    _form("KR", r"\d{13}", _dated("yymmdd"), sure=True, written=r"\d{6}-[1-8]\d{6}"),
    _form("KZ", r"\d{12}", _dated("yymmdd")),
    _form("LK", r"\d{9}[VX]", None, sure=True),
    _form("LT", r"[3-6]\d{10}", _dated(".yymmdd", _baltic), sure=True),
    _form("LU", r"[12]\d{12}", _dated("yyyymmdd", lambda t: _luhn(t[:12])), sure=True),
    _form("LV", r"\d{11}", _dated("ddmmyy"), sure=True, written=r"\d{6}-\d{5}"),
    _form("MX", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", _dated("....yymmdd"), sure=True),
    _form("MX", r"[A-ZÑ&]{3,4}\d{6}[A-Z0-9]{3}", None, type="TAX_ID"),
    _form("MY", r"\d{12}", _dated("yymmdd"), sure=True, written=r"\d{6}-\d\d-\d{4}"),
    _form("NG", r"\d{11}"),
    _form("NL", r"\d{9}", _sum_mod((9, 8, 7, 6, 5, 4, 3, 2, -1), 11)),
    _form("NO", r"\d{11}", _dated("ddmmyy", _norway), sure=True),
    _form("NZ", r"\d{8,9}", type="TAX_ID"),
    _form("PE", r"\d{8}"),
    _form("PH", r"\d{12,16}"),
    _form("PK", r"\d{13}", None, sure=True, written=r"\d{5}-\d{7}-\d"),
    _form("PL", r"\d{11}", _dated("yymmdd", _sum_mod((1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10), (0, 20, 80)), sure=True),
    _form("PL", r"\d{10}", _weights_mod_11((6, 5, 7, 2, 3, 4, 5, 6, 7)), type="TAX_ID"),
    _form("PT", r"[1-35689]\d{8}", _complement_mod_11((9, 8, 7, 6, 5, 4, 3, 2)), type="TAX_ID"),
    _form("RO", r"[1-8]\d{12}", _dated(".yymmdd", _weights_mod_11((2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9), 1)), sure=True),
    _form("RS", r"\d{13}", _complement_mod_11((7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2))),
    _form("RU", r"\d{11}", _russia, sure=True, written=r"\d{3}-\d{3}-\d{3}[ -]\d\d"),
    _form("RU", r"\d{10}|\d{12}", None, type="TAX_ID"),
    _form("SA", r"[12]\d{9}", _luhn),
    _form("SE", r"(?:19|20)?\d{10}", lambda t: _dated("yymmdd", _luhn)(t[-10:]), sure=True, written=r"(?:\d\d)?\d{6}[-+]\d{4}"),
    _form("SG", r"[STFG]\d{7}[A-Z]", _singapore, sure=True),
    _form("TH", r"[1-8]\d{12}", _thailand),
    _form("TR", r"[1-9]\d{10}", _turkey, sure=True),
    _form("TW", r"[A-Z][1289]\d{8}", _taiwan, sure=True),
    _form("UA", r"\d{10}", _weights_mod_11((-1, 5, 7, 9, 4, 6, 10, 5, 7))),
    _form("US", r"\d{9}", None, sure=True, written=r"\d{3}-\d\d-\d{4}"),
    _form("UY", r"\d{7,8}"),
    _form("VN", r"\d{9}|\d{12}"),
    _form("ZA", r"\d{13}", _dated("yymmdd", _luhn), sure=True),
    _form("EU", r"(?:ATU\d{8}|BE[01]\d{9}|BG\d{9,10}|CY\d{8}[A-Z]|CZ\d{8,10}|DE\d{9}|DK\d{8}|EE\d{9}|EL\d{9}|ES[A-Z0-9]\d{7}[A-Z0-9]|FI\d{8}|FR[A-Z0-9]{2}\d{9}|GB\d{9}|HR\d{11}|HU\d{8}|IE\d[A-Z0-9]\d{5}[A-Z]{1,2}|IT\d{11}|LT\d{9,12}|LU\d{8}|LV\d{11}|MT\d{8}|NL\d{9}B\d\d|PL\d{10}|PT\d{9}|RO\d{6,10}|SE\d{12}|SI\d{8}|SK\d{10}|XI\d{9}|CHE\d{9})", None, sure=True, type="TAX_ID"),
)  # fmt: skip
"""The forms of 58 countries; VAT numbers by their prefixes."""


def id_forms(written: str, *, in_context: bool) -> list[IdForm]:
    """The forms that a number as written has, with right check digits.

    Args:
        written: the number with its separators.
        in_context: a word that names such a number stands before it.
    """
    compact = re.sub(r"[^0-9A-Za-z+]" if "+" in written else r"[^0-9A-Za-z]", "", written).upper()
    if len(set(compact)) < 3:
        return []
    found = []
    for form in ID_FORMS:
        text = written.upper() if form.country == "FI" else compact
        if not (in_context or form.is_sure) or not form.pattern.fullmatch(text):
            continue
        if not in_context and form.written and not form.written.fullmatch(written):
            continue
        if form.check is None or form.check(text):
            found.append(form)
    return found
