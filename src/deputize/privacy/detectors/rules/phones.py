"""Phone numbers by the phonenumbers library, in the countries whose language a text is written in."""

from __future__ import annotations

import re
from functools import lru_cache

from deputize.privacy.check_digits import digits_of
from deputize.privacy.scripts import UNSPACED

_PHONE = re.compile(r"(?<![\w.+-])(?<!\d[/:])\+?\(?\d(?:[ \t().-]{0,3}\d){6,14}(?!(?!x\d)\w|[./:-]\d)")
"""An extension (x157) may follow; alone it points at nobody."""

_IN_LINK = re.compile(
    r"(?i)(?:wa\.me|whatsapp\.com/send/?\?phone=|t\.me|viber://\S{0,30}number=|signal\.me/#p)/?(?:\+|%2B)?(\d{8,15})(?!\w)"
)
"""Links of messengers name an account by its number."""

_PART_OF_PHONE = re.compile(r"(?<![\w.+-])\+\d{1,3}[ -]\d{2,5}(?:[ -]\d{1,4})?(?![\w.,: -]?\d|\w)")
"""A country code and a prefix, as in a number that is said in two messages."""

_WORDS_BEFORE = (
    r"phone|tel|t|call|ring|mobile|cell|fax|contact|whatsapp|text|reach|dial|sms|msisdn|my (?:new |home |work )?number|"
    r"telefon\w*|handy\w*|rufnummer|mobil\w*|anrufen|"
    r"téléphone|tél|portable|appele[rz]|joindre|teléfono|tfno|móvil|movil|celular|llam\w+|"
    r"telefone|telemóvel|ligar|ligue|fone|celular|komórk\w*|dzwonić|zadzwo\w+|telefonu|cep|gsm|aray\w+|cellulare|chiam\w+|bellen|"
    r"телефон\w*|тел|звон\w+|电话|電話|手机|手機|致电|请打|拨打|联系|携帯|까지|전화|هاتف|الهاتف|جوال|الجوال|اتصل\w*|فاكس|फ़ोन|फोन|मोबाइल|कॉल|טלפון|โทร"
)
_PHONE_WORD = re.compile(
    rf"(?i)(?:(?<![^\W{UNSPACED}])(?:{_WORDS_BEFORE}))(?![A-Za-zÀ-ɏ])[\w ]{{0,20}}[.:：#=\"'*() ]*$"
)
_WORD_AFTER = re.compile(
    r"(?i)^[\"' ,]*(?:पर (?:फ़ोन|फोन|कॉल|संपर्क)|numara|aray|arayın|'?(?:i|ı|u|ü)? aray|まで|にお?電話|で連絡|へ電話|拨打|联系|anrufen|erreichbar|anruf)"
)
_NANP = re.compile(r"\(?\d{3}\)?[-. ]?[ ]?\d{3}[-. ]\d{4}")
_DATE_LIKE = re.compile(r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")

_SCRIPT_REGIONS = (
    (re.compile(r"[\u3040-\u30ff]"), ("JP",)),
    (re.compile(r"[\u4e00-\u9fff]"), ("CN", "TW", "HK", "JP")),
    (re.compile(r"[\uac00-\ud7a3]"), ("KR",)),
    (re.compile(r"[\u0600-\u06ff]"), ("SA", "EG", "AE", "MA", "DZ", "IQ", "JO", "KW", "QA", "LB", "TN", "IR", "PK")),
    (re.compile(r"[\u0900-\u0dff]"), ("IN", "BD", "NP", "LK")),
    (re.compile(r"[\u0400-\u04ff]"), ("RU", "UA", "BG", "KZ", "RS")),
    (re.compile(r"[\u0370-\u03ff]"), ("GR", "CY")),
    (re.compile(r"[\u0590-\u05ff]"), ("IL",)),
    (re.compile(r"[\u0e00-\u0e7f]"), ("TH",)),
    (re.compile(r"[ğşıİ]"), ("TR",)),
    (re.compile(r"[łżśćźęą]"), ("PL",)),
    (re.compile(r"[ãõ]"), ("BR", "PT")),
    (re.compile(r"[ñ¿¡]"), ("ES", "MX", "AR", "CO", "CL", "PE")),
    (re.compile(r"[äöüß]"), ("DE", "AT", "CH", "SE", "FI")),
    (re.compile(r"[éèêàçœ]"), ("FR", "BE", "CH", "CA")),
)  # fmt: skip


def find_phones(text: str) -> list[tuple[int, int, float]]:
    """(start, end, score) of the phone numbers in a text."""
    out: list[tuple[int, int, float]] = []
    for match in _PHONE.finditer(text):
        found, start = match.group(), match.start()
        if found.startswith("(") and ")" not in found:
            found, start = found[1:], start + 1
        end = start + len(found)
        score = _score(found, text[max(0, start - 40) : start], text[end : end + 25])
        if score and _is_possible(found):
            out.append((start, end, score))
        elif not score and len(digits_of(found)) >= 8 and _is_valid_for(found, text):
            out.append((start, end, 0.5))
    out += [(*match.span(1), 0.9) for match in _IN_LINK.finditer(text)]
    for match in _PART_OF_PHONE.finditer(text):
        if _PHONE_WORD.search(text[max(0, match.start() - 40) : match.start()]):
            out.append((*match.span(), 0.6))
    return out


def _score(found: str, before: str, after: str) -> float:
    """Score of a phone number by its form and the words around it; 0 where it is something else."""
    digits = digits_of(found)
    if len(set(digits)) < 3 or _DATE_LIKE.fullmatch(found):
        return 0.0
    if found.startswith("+"):
        return 0.9
    if _NANP.fullmatch(found) and len(digits) == 10:
        return 0.85
    if len(digits) >= 7 and (_PHONE_WORD.search(before) or _WORD_AFTER.search(after)):
        return 0.75
    return 0.5 if found.startswith(("(", "0")) and len(digits) >= 9 and not found.isdigit() else 0.0


def _is_possible(found: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(found, None if found.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number)) or not found.startswith("+")


def _is_valid_for(found: str, text: str) -> bool:
    """True where a number in groups, or a mobile number of China or India, is valid where the language of the text is
    spoken."""
    digits = digits_of(found)
    if len(set(digits)) < 4 or _DATE_LIKE.fullmatch(found):
        return False
    regions = _regions(text)
    if found.isdigit():
        is_mobile = ("CN" in regions and re.fullmatch(r"1[3-9]\d{9}", found)) or (
            "IN" in regions and re.fullmatch(r"[6-9]\d{9}", found)
        )
        return bool(is_mobile)
    return len(re.findall(r"\d+", found)) >= 3 and any(_is_valid(found, region) for region in regions)


def _regions(text: str) -> tuple[str, ...]:
    if text.isascii():
        return ()
    return next((regions for letters, regions in _SCRIPT_REGIONS if letters.search(text)), ())


@lru_cache(maxsize=4096)
def _is_valid(found: str, region: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(found, region), region)
    except phonenumbers.NumberParseException:
        return False
