"""Stand-ins for personal values: alike in form, equal for equal values inside an episode, unlinked between episodes.

Keyed by HMAC(episode key, type || value); there is no table to steal and no global map that would link two episodes.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import re
import string
from functools import lru_cache

from deputize.core.errors import MissingExtra
from deputize.stages.curate.rules import digits_of, iban, luhn

MAX_SHIFT_WEEKS = 26

_PREFIX = re.compile(r"^(?:[A-Za-z]{2,}[-_#: ]+)+")
_WORD = re.compile(r"[^\W\d_]+")
_KEPT_IN_NAMES = frozenset(
    [
        "de",
        "da",
        "van",
        "von",
        "der",
        "la",
        "bin",
        "al",
        "del",
        "di",
        "y",
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "jr",
        "sr",
        "ii",
        "iii",
    ]
)
_KEPT_IN_ADDRESSES = frozenset(
    [
        "street",
        "st",
        "avenue",
        "ave",
        "boulevard",
        "blvd",
        "road",
        "rd",
        "lane",
        "ln",
        "drive",
        "dr",
        "court",
        "ct",
        "circle",
        "cir",
        "way",
        "place",
        "pl",
        "terrace",
        "ter",
        "parkway",
        "pkwy",
        "highway",
        "hwy",
        "square",
        "sq",
        "trail",
        "trl",
        "crescent",
        "close",
        "alley",
        "loop",
        "apt",
        "apartment",
        "suite",
        "ste",
        "unit",
        "floor",
        "north",
        "south",
        "east",
        "west",
    ]
)
_MEDICATIONS = (
    "Lisinopril",
    "Metoprolol",
    "Losartan",
    "Atorvastatin",
    "Omeprazole",
    "Amlodipine",
    "Sertraline",
    "Cetirizine",
)
_CONDITIONS = (
    "Hypertension",
    "Asthma",
    "Migraine",
    "Osteoarthritis",
    "Hypothyroidism",
    "Anemia",
    "Psoriasis",
    "Eczema",
)
_TITLES = (
    "Data Analyst",
    "Operations Manager",
    "Accountant",
    "Product Designer",
    "Sales Representative",
    "Technician",
)


@lru_cache(maxsize=1)
def _pools() -> dict[str, tuple[str, ...]]:
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


def episode_key(key: bytes, episode: str) -> bytes:
    """The 32-byte key of one episode's surrogates."""
    return hmac.new(key, b"episode\0" + episode.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


class Surrogates:
    """The stand-ins of one episode."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._given: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self._parts: dict[str, str] = {}
        self._forbidden: frozenset[str] = frozenset()

    def forbid(self, values: frozenset[str]) -> None:
        """Values of the episode, case folded, that no stand-in may equal."""
        self._forbidden = values

    @property
    def n_days(self) -> int:
        """How far this episode's dates move: whole weeks, so that weekdays stay; never 0."""
        rng = self._random("DAYS", "")
        return 7 * rng.choice([w for w in range(-MAX_SHIFT_WEEKS, MAX_SHIFT_WEEKS + 1) if w])

    def of(self, kind: str, value: str) -> str:
        """The stand-in of a value. Equal values of a type have equal ones; unequal values never share one."""
        known = self._given.get((kind, value))
        if known is not None:
            return known
        for attempt in range(20):
            made = self._make(kind, value, attempt)
            if made.casefold() not in self._forbidden and made not in self._taken:
                break
        self._given[kind, value] = made
        self._taken.add(made)
        return made

    def name_part(self, word: str, first: bool) -> str:
        """The stand-in of one word of a name, in the same case; the same for first names, log-ins and e-mails."""
        folded = word.casefold()
        made = self._parts.get(folded)
        if made is None:
            pool = _pools()["first" if first else "last"]
            rng = self._random("NAME", folded)
            for _ in range(20):
                made = rng.choice(pool)
                if made.casefold() not in self._forbidden and made not in self._parts.values():
                    break
            assert made is not None
            self._parts[folded] = made
        if len(word) == 1:
            made = made[0]
        return made.upper() if word.isupper() and len(word) > 1 else made.lower() if word.islower() else made

    def parts(self) -> dict[str, str]:
        """Case-folded word of a name -> its stand-in, for every word met so far."""
        return dict(self._parts)

    def _random(self, kind: str, value: str, attempt: int = 0) -> random.Random:
        message = f"{kind}\0{value}\0{attempt}".encode("utf-8", "surrogatepass")
        return random.Random(hmac.new(self._key, message, hashlib.sha256).digest())

    def _make(self, kind: str, value: str, attempt: int) -> str:
        # numbers are keyed by their last ten digits, so that "+1 (212) 555-0188" and 2125550188 stay one number
        seed = (
            digits_of(value)[-10:]
            if kind in ("PHONE_NUMBER", "US_SSN", "CREDIT_CARD", "BANK_ACCOUNT")
            else value
        )
        rng = self._random(kind, seed, attempt)
        match kind:
            case "PERSON":
                return self._person(value)
            case "EMAIL_ADDRESS":
                return self._email(value, rng)
            case "USERNAME":
                return self._email(value, rng) if "@" in value else self._handle(value, rng)
            case "PHONE_NUMBER":
                return _phone(value, rng)
            case "CREDIT_CARD":
                return _card(value, rng)
            case "IBAN_CODE":
                return _iban(value, rng)
            case "US_SSN":
                return _refill(value, rng)
            case "IP_ADDRESS":
                return _ip(value, rng)
            case "MAC_ADDRESS":
                return re.sub(r"[0-9A-Fa-f]", lambda m: _like(m.group(), rng, "0123456789abcdef"), value)
            case "STREET_ADDRESS":
                return _address(value, rng)
            case "LOCATION":
                return rng.choice(_pools()["town"])
            case "ORGANIZATION":
                return f"{rng.choice(_pools()['last'])} {rng.choice(('Group', 'Partners', 'Industries', 'Works'))}"
            case "MEDICATION":
                return re.sub(r"[A-Za-z]{5,}", rng.choice(_MEDICATIONS), value, count=1)
            case "HEALTH_CONDITION":
                return rng.choice(_CONDITIONS)
            case "JOB_TITLE":
                return rng.choice(_TITLES)
            case "SENSITIVE":
                return self._words(value, rng)
            case "AMOUNT":
                return _amount(value, rng)
        return _refill(value, rng)

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
        """Other words in the same case, the same for the same word; short ones stay, digits become other digits."""
        pool = _pools()["word"]

        def word(match: re.Match[str]) -> str:
            found = match.group()
            if len(found) < 4 and not found.isupper():
                return found
            made = self._random("WORD", found.casefold()).choice(pool)
            return made.upper() if found.isupper() else made.capitalize() if found[:1].isupper() else made

        made = re.sub(r"\d", lambda m: rng.choice(string.digits), _WORD.sub(word, value))
        return made if made != value else _refill(value, rng)

    def _handle(self, value: str, rng: random.Random) -> str:
        """A log-in: words become names (known ones their stand-in), digits other digits, the rest stays."""
        if re.fullmatch(r"[0-9a-fA-F-]{16,}", value):
            return _refill(value, rng)
        words = [w for w in _WORD.findall(value) if len(w) > 2]

        def part(match: re.Match[str]) -> str:
            word = match.group()
            if len(word) <= 2 and word.casefold() not in self._parts:
                return _refill(word, rng)
            return self.name_part(word, first=word == words[0] if words else True)

        return re.sub(r"\d", lambda m: rng.choice(string.digits), _WORD.sub(part, value))

    def _email(self, value: str, rng: random.Random) -> str:
        local, _, domain = value.rpartition("@")
        label = self._random("DOMAIN", domain.casefold()).choice(
            ("example.com", "example.org", "example.net")
        )
        return f"{self._handle(local, rng)}@{label}"


def _like(char: str, rng: random.Random, hexadecimal: str = "") -> str:
    if hexadecimal:
        made = rng.choice(hexadecimal)
        return made.upper() if char.isupper() else made
    if char.isdigit():
        return rng.choice(string.digits)
    if char.isalpha():
        return rng.choice(string.ascii_uppercase if char.isupper() else string.ascii_lowercase)
    return char


def _refill(value: str, rng: random.Random) -> str:
    """Every letter and digit replaced by another of its class, a prefix such as "MRN-" or "sk-" kept."""
    prefix = _PREFIX.match(value)
    at = prefix.end() if prefix and any(c.isdigit() for c in value[prefix.end() :]) else 0
    made = value[:at] + "".join(_like(c, rng) for c in value[at:])
    first = next((i for i in range(at, len(value)) if value[i].isdigit()), None)
    if first is not None and value[first] != "0" and made[first] == "0":
        made = made[:first] + rng.choice("123456789") + made[first + 1 :]
    return made


def _fill_digits(value: str, digits: str) -> str:
    source = iter(digits)
    return "".join(next(source) if c.isdigit() else c for c in value)


def _amount(value: str, rng: random.Random) -> str:
    """A number of the same size, written alike: the first two digits stay, the others are drawn anew."""
    seen = 0

    def digit(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        return match.group() if seen <= 2 else rng.choice(string.digits)

    return re.sub(r"\d", digit, value)


def _phone(value: str, rng: random.Random) -> str:
    """Other digits in the same form; a country code in front of ten digits stays."""
    digits = digits_of(value)
    body = [rng.choice(string.digits) for _ in range(10)]
    body[0], body[3] = rng.choice("23456789"), rng.choice("23456789")
    if len(digits) >= 10:
        return _fill_digits(value, digits[:-10] + "".join(body))
    return _fill_digits(value, "".join(body[-len(digits) :]))


def _card(value: str, rng: random.Random) -> str:
    digits = digits_of(value)
    stem = digits[0] + "".join(rng.choice(string.digits) for _ in digits[1:-1])
    for check in string.digits:
        if luhn(stem + check):
            return _fill_digits(value, stem + check)
    return _fill_digits(value, stem + "0")


def _iban(value: str, rng: random.Random) -> str:
    compact = [c for c in value if c.isalnum()]
    body = "".join(_like(c, rng) for c in compact[4:])
    for check in range(2, 99):
        made = f"{compact[0]}{compact[1]}{check:02d}{body}"
        if iban(made):
            break
    source = iter(made)
    return "".join(next(source) if c.isalnum() else c for c in value)


def _ip(value: str, rng: random.Random) -> str:
    if ":" in value:
        return re.sub(r"[0-9A-Fa-f]", lambda m: _like(m.group(), rng, "0123456789abcdef"), value)
    private = re.match(r"(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.", value)
    kept = private.group().rstrip(".").split(".") if private else []
    return ".".join(kept + [str(rng.randint(1, 254)) for _ in range(4 - len(kept))])


def _address(value: str, rng: random.Random) -> str:
    """Other numbers and other names; the kind of street, directions and two-letter states stay."""

    def word(match: re.Match[str]) -> str:
        found = match.group()
        if found.casefold() in _KEPT_IN_ADDRESSES or len(found) <= 2:
            return found
        made = rng.choice(_pools()["last"])
        return made.upper() if found.isupper() else made.lower() if found.islower() else made

    made = re.sub(r"[^\W\d_]{1,}(?!\w)", word, value)
    return re.sub(
        r"\d+",
        lambda m: rng.choice("123456789") + "".join(rng.choice(string.digits) for _ in m.group()[1:]),
        made,
    )
