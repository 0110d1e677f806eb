"""Surrogates for personal values: of the same form, equal for equal values in an episode, unlinked between episodes.

They are derived by HMAC(episode key, type || value): no table and no global map could be stolen or link two episodes.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import random
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from deputize.core.errors import MissingExtra
from deputize.privacy.check_digits import digits_of, is_aba_number, is_nhs_number
from deputize.privacy.date_shift import shift_partial_date
from deputize.privacy.entity_types import UNMEASURED
from deputize.privacy.replace.number_forms import (
    other_amount,
    other_card,
    other_character,
    other_iban,
    other_ip_address,
    other_phone,
    refill,
)
from deputize.privacy.scripts import WORD, character_like, locale_of
from deputize.privacy.spelled_numbers import other_digit_words

MAX_SHIFT_WEEKS = 26
MASK = "[masked]"

_PREFIX = re.compile(r"^(?:[A-Za-z]{2,7}[-_#:.\s]+){1,3}(?=[A-Za-z]{0,3}\d)")
"""The prefix of a record number that names its kind, as in "MRN: 00482913" or "CLM-2024-00918"."""
_KEY_PREFIX = re.compile(r"^(?:[spra]k[-_]|(?:[A-Za-z]{2,7}[-_]){1,3}(?=[A-Za-z0-9_+/=-]{16,}$))")
"""The prefix of a key that names its provider, as in sk-proj-...; a password has no prefix, so nothing of it is kept."""
_WORD = re.compile(WORD)
_KEPT_IN_NAMES = frozenset([
    "de", "da", "van", "von", "der", "la", "bin", "al", "del", "di", "y", "mr", "mrs", "ms", "dr", "prof",
    "jr", "sr", "ii", "iii",
])  # fmt: skip
_KEPT_IN_ADDRESSES = frozenset([
    "street", "st", "avenue", "ave", "boulevard", "blvd", "road", "rd", "lane", "ln", "drive", "dr",
    "court", "ct", "circle", "cir", "way", "place", "pl", "terrace", "ter", "parkway", "pkwy", "highway",
    "hwy", "square", "sq", "trail", "trl", "crescent", "close", "alley", "loop", "apt", "apartment",
    "suite", "ste", "unit", "floor", "north", "south", "east", "west",
])  # fmt: skip
_MEDICATIONS = (
    "Lisinopril", "Metoprolol", "Losartan", "Atorvastatin", "Omeprazole",
    "Amlodipine", "Sertraline", "Cetirizine",
)  # fmt: skip
_CONDITIONS = (
    "Hypertension", "Asthma", "Migraine", "Osteoarthritis", "Hypothyroidism",
    "Anemia", "Psoriasis", "Eczema",
)  # fmt: skip
_TITLES = (
    "Data Analyst",
    "Operations Manager",
    "Accountant",
    "Product Designer",
    "Sales Representative",
    "Technician",
)


@lru_cache(maxsize=1)
def word_pools() -> dict[str, tuple[str, ...]]:
    """Faker's word lists, ASCII only and sorted, so that a choice depends on the key alone."""
    try:
        from faker.providers.address.en_US import Provider as Address
        from faker.providers.lorem.en_US import Provider as Lorem
        from faker.providers.person.en_US import Provider as Person
    except ImportError:
        raise MissingExtra.package("Faker", "privacy") from None

    def words(source: object) -> tuple[str, ...]:
        return tuple(sorted({w for w in source if w.isascii() and w.isalpha() and 3 <= len(w) <= 10}))  # type: ignore[attr-defined]

    last = words(Person.last_names)
    towns = sorted({f"{prefix} {suffix}" for prefix in Address.city_prefixes for suffix in last[:60]})
    return {
        "first": words(Person.first_names),
        "last": last,
        "town": tuple(towns),
        "word": words(Lorem.word_list),
    }


@lru_cache(maxsize=8)
def _names_of_length(pool: str, length_class: int) -> tuple[str, ...]:
    """The words of a pool that have this length class; all of them where none has."""
    words = word_pools()[pool]
    return tuple(w for w in words if _length_class(w) == length_class) or words


@lru_cache(maxsize=16)
def names_of(locale: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(first names, last names) of one of Faker's locales that are one word, sorted."""
    provider = importlib.import_module(f"faker.providers.person.{locale}").Provider

    def words(source: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({w for w in source if " " not in w}))

    return words(provider.first_names), words(provider.last_names)


def episode_key(key: bytes, episode: str) -> bytes:
    """The 32-byte key of one episode's surrogates."""
    return hmac.new(key, b"episode\0" + episode.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


class SurrogateTables:
    """The surrogates that are given out already, so that unequal values never share one."""

    def __init__(self) -> None:
        self.surrogates: dict[tuple[str, str], str] = {}
        self.used: set[str] = set()
        self.parts: dict[str, str] = {}
        self.plain_parts: dict[str, str] = {}
        self.used_parts: set[str] = set()


class Surrogates:
    """The surrogates of one episode."""

    def __init__(
        self, key: bytes, subject_key: bytes | None = None, tables: SurrogateTables | None = None
    ) -> None:
        """
        Args:
            key: of the episode, or of the tenant; every surrogate depends on it.
            subject_key: of the person whom the episode is about, where known: the dates of all episodes of one
                subject move by the same number of days, so that the days between them are kept.
            tables: shared with other episodes that use the same key; None: for this episode alone.
        """
        self._key, self._subject_key = key, subject_key or key
        self._own = SurrogateTables()
        self._tables = tables or self._own
        self._parts, self._plain_parts = self._tables.parts, self._tables.plain_parts
        self._used_parts = self._tables.used_parts
        self._forbidden: frozenset[str] = frozenset()

    def forbid(self, values: frozenset[str]) -> None:
        """Sets the values of the episode, case folded, that no surrogate may equal."""
        self._forbidden = values

    @property
    def n_days(self) -> int:
        """By how many days the subject's dates move: whole weeks, so that weekdays are kept; never 0."""
        rng = random.Random(hmac.new(self._subject_key, b"DAYS\0\0000", hashlib.sha256).digest())
        return 7 * rng.choice([w for w in range(-MAX_SHIFT_WEEKS, MAX_SHIFT_WEEKS + 1) if w])

    def of(self, kind: str, value: str) -> str:
        """The surrogate of a value. Equal values of a type have equal ones; unequal values never share one."""
        if kind == UNMEASURED:
            return MASK
        # a date moves with its subject's other dates, so it is not shared with other subjects
        tables = self._own if kind == "DATE_OF_BIRTH" else self._tables
        known = tables.surrogates.get((kind, value))
        if known is not None:
            return known
        for attempt in range(20):
            made = self._make(kind, value, attempt)
            if made.casefold() not in self._forbidden and made not in tables.used:
                break
        else:
            made = made if made.casefold() != value.casefold() else "*" * len(value)
        tables.surrogates[kind, value] = made
        tables.used.add(made)
        return made

    def name_part(self, word: str, first: bool) -> str:
        """The surrogate of one word of a name, in the same case; the same in names, user names and mail addresses."""
        folded = word.casefold()
        made = self._parts.get(folded)
        if made is None:
            made = self._plain_part(without_accents(folded), first)
            made = self._parts[folded] = _accented_like(word, made, self._random("ACCENTS", folded))
        if len(word) == 1:
            made = made[0]
        return made.upper() if word.isupper() and len(word) > 1 else made.lower() if word.islower() else made

    def _plain_part(self, folded: str, first: bool) -> str:
        """The surrogate of a word of a name without accents, of about its length: Zoé and zoe stay one name."""
        made = self._plain_parts.get(folded)
        if made is None:
            if locale := locale_of(folded):
                return self._part_of_script(folded, locale, first)
            pool = _names_of_length("first" if first else "last", _length_class(folded))
            rng = self._random("NAME", folded)
            for _ in range(20):
                made = rng.choice(pool)
                if made.casefold() not in self._forbidden and made not in self._used_parts:
                    break
            assert made is not None
            self._plain_parts[folded] = made
            self._used_parts.add(made)
        return made

    def _part_of_script(self, word: str, locale: str, first: bool) -> str:
        """A name in the script of a word; of ideographs one with as many of them."""
        first_names, last_names = names_of(locale)
        rng = self._random("NAME", word)
        made = word
        for _ in range(20):
            if locale in ("zh_CN", "ko_KR"):
                made = rng.choice(last_names)[:1]
                while len(made) < len(word):
                    made += rng.choice(first_names)
                made = made[: len(word)]
            else:
                made = rng.choice(first_names if first else last_names)
            if made.casefold() not in self._forbidden and made not in self._used_parts:
                break
        self._plain_parts[word] = made
        self._used_parts.add(made)
        return made

    def parts(self) -> Mapping[str, str]:
        """Case-folded word of a name -> its surrogate, for every word so far."""
        return MappingProxyType(self._parts)

    def _random(self, kind: str, value: str, attempt: int = 0) -> random.Random:
        message = f"{kind}\0{value}\0{attempt}".encode("utf-8", "surrogatepass")
        return random.Random(hmac.new(self._key, message, hashlib.sha256).digest())

    def _make(self, kind: str, value: str, attempt: int) -> str:
        if (decoded := _unescaped(value)) != value:
            return json.dumps(self.of(kind, decoded))[1:-1]
        seed = _identity(kind, value)
        rng = self._random(kind, seed, attempt)
        match kind:
            case "PERSON":
                return self._person(value)
            case "EMAIL_ADDRESS":
                return self._email(value, rng)
            case "USERNAME":
                return self._email(value, rng) if "@" in value else self._handle(value, rng)
            case "PHONE_NUMBER":
                return other_phone(value, rng) if len(digits_of(value)) > 4 else other_digit_words(value, rng)
            case "CREDIT_CARD":
                return other_card(value, rng)
            case "IBAN_CODE":
                return other_iban(value, rng)
            case "US_SSN":
                return refill(value, rng)
            case "IP_ADDRESS":
                return other_ip_address(value, rng)
            case "MAC_ADDRESS":
                return re.sub(
                    r"[0-9A-Fa-f]", lambda m: other_character(m.group(), rng, "0123456789abcdef"), value
                )
            case "STREET_ADDRESS":
                return self._address(value, attempt)
            case "LOCATION":
                return rng.choice(word_pools()["town"])
            case "ORGANIZATION":
                return f"{rng.choice(word_pools()['last'])} {rng.choice(('Group', 'Partners', 'Industries', 'Works'))}"
            case "MEDICATION":
                return re.sub(r"[A-Za-z]{5,}", rng.choice(_MEDICATIONS), value, count=1)
            case "HEALTH_CONDITION":
                return (
                    rng.choice(_CONDITIONS)
                    if not any(map(str.isdigit, value)) or " " in value
                    else refill(value, rng)
                )
            case "DATE_OF_BIRTH":
                return shift_partial_date(value, self.n_days) or refill(value, rng)
            case "NATIONAL_ID" | "BANK_ACCOUNT" | "LICENSE_NUMBER":
                return self._checked(kind, value, seed, attempt)
            case "JOB_TITLE":
                return rng.choice(_TITLES)
            case "SENSITIVE":
                return self._words(value, rng)
            case "AGE":
                return re.sub(r"\d+", "90", value)
            case "URL":
                return self._url(value, rng)
            case "AMOUNT":
                return other_amount(value, rng)
        return refill(value, rng, _prefix_end(kind, value))

    def _address(self, value: str, attempt: int) -> str:
        """Other numbers and names, the same for the same ones, so that a part of an address is a part of its
        surrogate; the kind of street, directions and two-letter states are kept."""

        def word(match: re.Match[str]) -> str:
            found = match.group()
            rng = self._random("ADDRESS", found.casefold(), attempt)
            if found.isdigit():
                return rng.choice("123456789") + "".join(rng.choice(string.digits) for _ in found[1:])
            if found.casefold() in _KEPT_IN_ADDRESSES or len(found) <= 2:
                return found
            if locale := locale_of(found):
                return _word_of_script(found, locale, rng)
            made = rng.choice(word_pools()["last"])
            return made.upper() if found.isupper() else made.lower() if found.islower() else made

        return re.sub(rf"\d+|{WORD}", word, value)

    def _url(self, value: str, rng: random.Random) -> str:
        """Another host, path and query of the same form."""
        scheme, mark, rest = value.rpartition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{mark}{_domain(host, rng)}{slash}{refill(path, rng)}"

    def _checked(self, kind: str, value: str, seed: str, attempt: int) -> str:
        """Other digits in the same form; a valid check digit stays valid."""
        checks = [check for check in CHECKS if check(digits_of(value))]
        for again in range(2000 if checks else 1):
            rng = self._random(kind, seed, attempt + 1000 * again)
            made = refill(value, rng, _prefix_end(kind, value))
            if all(check(digits_of(made)) for check in checks):
                break
        return made

    def _person(self, value: str) -> str:
        if not any(c.isalpha() for c in value):
            return "***"
        words = _WORD.findall(value)
        named = [w for w in words if w.casefold() not in _KEPT_IN_NAMES]
        seen = 0

        def part(match: re.Match[str]) -> str:
            nonlocal seen
            word = match.group()
            if word.casefold() in _KEPT_IN_NAMES:
                return word
            seen += 1
            return self.name_part(word, first=seen < len(named) or len(named) == 1)

        return _WORD.sub(part, value)

    def _words(self, value: str, rng: random.Random) -> str:
        """Other words in the same case, the same for the same word; short words are kept, digits become other digits."""
        pool = word_pools()["word"]

        def word(match: re.Match[str]) -> str:
            found = match.group()
            if len(found) < 4 and not found.isupper():
                return found
            made = self._random("WORD", found.casefold()).choice(pool)
            return made.upper() if found.isupper() else made.capitalize() if found[:1].isupper() else made

        made = re.sub(r"\d", lambda m: rng.choice(string.digits), _WORD.sub(word, value))
        return made if made != value else refill(value, rng)

    def _handle(self, value: str, rng: random.Random) -> str:
        """A user name: words become names (known ones their surrogate), digits other digits, the rest is kept."""
        if re.fullmatch(r"[0-9a-fA-F-]{16,}", value):
            return refill(value, rng)
        words = [w for w in _WORD.findall(value) if len(w) > 2]

        def part(match: re.Match[str]) -> str:
            word = match.group()
            if len(word) <= 2 and word.casefold() not in self._parts:
                return refill(word, rng)
            return self.name_part(word, first=word == words[0] if words else True)

        return re.sub(r"\d", lambda m: rng.choice(string.digits), _WORD.sub(part, value))

    def _email(self, value: str, rng: random.Random) -> str:
        if "@" not in value and "%40" in value:  # as a URL writes it
            return self.of("EMAIL_ADDRESS", value.replace("%40", "@")).replace("@", "%40")
        local, _, domain = value.rpartition("@")
        return f"{self._handle(local, rng)}@{_domain(domain, self._random('DOMAIN', domain.casefold()))}"


_RESERVED = "example"
"""Stands in the label of every domain that somebody could register (RFC 2606 reserves example.com, .net and .org)."""
_SECOND_LEVEL = frozenset(
    ["ac", "co", "com", "edu", "gob", "gouv", "gov", "go", "ne", "net", "nhs", "or", "org"]
)
"""Labels before a country's that nobody registers, as co in co.uk."""


def _domain(domain: str, rng: random.Random) -> str:
    """A domain of the same shape that nobody has: dots, hyphens, digits and the last labels are kept."""
    labels = domain.split(".")
    n_kept = 1 + (len(labels) > 2 and len(labels[-1]) == 2 and labels[-2].casefold() in _SECOND_LEVEL)
    changed, kept = labels[:-n_kept], labels[-n_kept:]
    made = [_domain_label(label, rng, is_registered=i == len(changed) - 1) for i, label in enumerate(changed)]
    return ".".join([*made, *kept])


def _domain_label(label: str, rng: random.Random, *, is_registered: bool) -> str:
    words = list(_WORD.finditer(label))
    reserved = max(words, key=lambda m: len(m.group())) if is_registered and words else None

    def word(match: re.Match[str]) -> str:
        found = match.group()
        if reserved is not None and match.start() == reserved.start():
            made = _RESERVED
        elif len(found) <= 2:
            return refill(found, rng)
        else:
            made = rng.choice(word_pools()["word"]).lower()
        made = _accented_like(found, made, rng)
        return made.upper() if found.isupper() else made

    return re.sub(r"\d", lambda m: rng.choice(string.digits), _WORD.sub(word, label))


_ACCENTS = {
    **{"a": "áàâäå", "c": "çč", "d": "ď", "e": "éèêë", "g": "ğ", "i": "íîï", "l": "ł", "n": "ñň"},
    **{"o": "óôöø", "r": "ř", "s": "šş", "t": "ť", "u": "úüů", "y": "ý", "z": "žż"},
}


def without_accents(word: str) -> str:
    """The word with letters of the plain Latin alphabet where an accent is all that a letter has more."""
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _accented_like(word: str, made: str, rng: random.Random) -> str:
    """`made` with as many accented letters as a Latin word has, as far as its letters have accents."""
    plain = sum(c.isascii() for c in word)
    n_accents = len(word) - plain
    if not n_accents or not plain:
        return made
    places = [i for i, c in enumerate(made) if c.lower() in _ACCENTS]
    chars = list(made)
    for i in rng.sample(places, min(n_accents, len(places))):
        accented = rng.choice(_ACCENTS[chars[i].lower()])
        chars[i] = accented.upper() if chars[i].isupper() else accented
    return "".join(chars)


_KINDS_OF_PLACES = "省市区縣县路街道巷弄号號栋棟室楼樓层層镇鎮村町丁目番地府都郡州"


def _word_of_script(word: str, locale: str, rng: random.Random) -> str:
    """Another word of an address in the same script; ideographs that say what kind of place it is are kept."""
    if locale in ("zh_CN", "ja_JP"):
        return "".join(c if c in _KINDS_OF_PLACES else character_like(c, rng) for c in word)
    return rng.choice(names_of(locale)[1])


def _length_class(word: str) -> int:
    """0 to four letters, 1 to seven, 2 beyond."""
    return (len(word) > 4) + (len(word) > 7)


CHECKS = (is_nhs_number, is_aba_number)
"""Checks of numbers that have no type of their own."""


def _prefix_end(kind: str, value: str) -> int:
    """The index where a value begins after the prefix that names its kind."""
    pattern = _PREFIX if kind in _RECORD_NUMBERS else _KEY_PREFIX if kind == "API_KEY" else None
    prefix = pattern.match(value) if pattern else None
    return prefix.end() if prefix else 0


def _unescaped(value: str) -> str:
    """A value with JSON escapes after decoding, as it occurs in JSON that is quoted in prose."""
    if "\\u" not in value:
        return value
    try:
        return str(json.loads(f'"{value}"', strict=False))
    except ValueError:
        return value


def _identity(kind: str, value: str) -> str:
    """The part that all forms of one value have in common: the last ten digits of a phone number, the letters and
    digits of a record number without prefix and separators, an amount without marks between thousands.

    "+1 (212) 555-0188" and 2125550188 stay one number, and so do "MRN: 0048-2913" and 00482913.
    """
    if kind in ("PHONE_NUMBER", "US_SSN", "CREDIT_CARD"):
        return digits_of(value)[-10:]
    if kind == "AMOUNT":
        whole, _, part = value.replace(",", "").partition(".")
        return f"{whole}.{part.rstrip('0')}"
    if kind in _RECORD_NUMBERS:
        return "".join(c for c in value[_prefix_end(kind, value) :] if c.isalnum()).casefold()
    return value


_RECORD_NUMBERS = frozenset(
    {
        "MEDICAL_RECORD",
        "POLICY_NUMBER",
        "IBAN_CODE",
        "PASSPORT",
        "DRIVER_LICENSE",
        "NATIONAL_ID",
        "LICENSE_NUMBER",
        "CASE_NUMBER",
        "BANK_ACCOUNT",
        "MAC_ADDRESS",
    }
)
