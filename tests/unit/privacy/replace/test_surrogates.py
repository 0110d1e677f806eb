"""Surrogates keep the form, are the same inside an episode and unlinked between episodes."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.privacy.check_digits import digits_of, is_aba_number, is_iban, is_luhn, is_nhs_number
from deputize.privacy.replace.replacer import Replacer
from deputize.privacy.replace.surrogates import Surrogates, episode_key, without_accents

KEY = b"k" * 32


def of(kind: str, value: str, episode: str = "e1") -> str:
    return Surrogates(episode_key(KEY, episode)).of(kind, value)


def replacer(
    *found: tuple[str, str], episode: str = "e1", ordinary: frozenset[str] = frozenset()
) -> Replacer:
    return Replacer(found, Surrogates(episode_key(KEY, episode)), lambda w: w.casefold() in ordinary)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("PHONE_NUMBER", "+1 (234) 817-8325", r"\+1 \([2-9]\d\d\) [2-9]\d\d-\d{4}"),
        ("US_SSN", "925-22-8758", r"\d{3}-\d{2}-\d{4}"),
        ("EMAIL_ADDRESS", "mia.li3818@mail.com", r"[a-z]+\.[a-z]+\d{4}@example\.(com|org|net)"),
        ("USERNAME", "mia_li_3668", r"[a-z]+_[a-z]+_\d{4}"),
        ("PERSON", "Mia Li", r"[A-Z][a-z]+ [A-Z][a-z]+"),
        ("PERSON", "MIA LI", r"[A-Z]+ [A-Z]+"),
        ("MEDICAL_RECORD", "MRN-7419342", r"MRN-\d{7}"),
        ("API_KEY", "sk-QIv6Gv5N", r"sk-[A-Z]{2}[a-z]\d[A-Z][a-z]\d[A-Z]"),
        ("IP_ADDRESS", "192.168.1.17", r"192\.168\.\d+\.\d+"),
        ("MAC_ADDRESS", "df:d4:0e:6b:c4:a1", r"([0-9a-f]{2}:){5}[0-9a-f]{2}"),
        ("STREET_ADDRESS", "975 Sunset Drive", r"\d{3} [A-Z][a-z]+ Drive"),
    ],
)
def test_the_form_is_kept(kind: str, value: str, form: str) -> None:
    made = of(kind, value)
    assert re.fullmatch(form, made) and made != value
    assert made == of(kind, value) and made != of(kind, value, "e2")


@given(st.integers(10**15, 10**16 - 1))
def test_cards_keep_a_valid_checksum(number: int) -> None:
    made = of("CREDIT_CARD", str(number))
    assert is_luhn(made) and len(made) == 16


def test_ibans_keep_a_valid_checksum() -> None:
    made = of("IBAN_CODE", "DE89 3704 0044 0532 0130 00")
    assert is_iban(made) and made.startswith("DE") and made.count(" ") == 5


def test_one_person_stays_one_person_in_every_form() -> None:
    change = replacer(
        ("PERSON", "Mia Li"), ("USERNAME", "mia_li_3668"), ("EMAIL_ADDRESS", "mia.li3818@mail.com")
    )
    first, last = change("Mia Li").split()
    assert change("Hi Mia, mia li") == f"Hi {first}, {first.lower()} {last.lower()}"
    assert change("mia_li_3668").startswith(f"{first}_{last}_".lower())
    assert change("mia.li3818@mail.com").startswith(f"{first}.{last}".lower())


def test_a_number_is_the_same_in_every_form() -> None:
    change = replacer(("PHONE_NUMBER", "+1 (234) 817-8325"))
    made = digits_of(change("+1 (234) 817-8325"))
    assert made[0] == "1"
    assert change('{"phone": 2348178325}') == f'{{"phone": {made[1:]}}}'
    assert change("234.817.8325 12348178325") == f"{made[1:4]}.{made[4:7]}.{made[7:]} {made}"


def test_words_are_replaced_whole_and_everyday_ones_only_in_quotes() -> None:
    change = replacer(("PERSON", "Will"), ordinary=frozenset({"will"}))
    assert change("Will you come?") == "Will you come?"
    assert '"Will"' not in change('{"first_name": "Will"}')
    assert replacer(("PERSON", "Ann"))("Annual") == "Annual"


def test_dates_of_birth_move_in_every_form() -> None:
    change = replacer(("DATE_OF_BIRTH", "1990-04-05"))
    moved = change("born 1990-04-05, flight 2024-05-20")
    assert moved.endswith("flight 2024-05-20") and "1990-04-05" not in moved
    assert change("April 5, 1990") != "April 5, 1990"


@pytest.mark.parametrize("day", ["October 1983", "19870412", "1983-10"])
def test_a_date_of_birth_that_is_part_of_a_date_moves(day: str) -> None:
    moved = replacer(("DATE_OF_BIRTH", day))(f"born {day}.")
    assert moved != f"born {day}." and re.fullmatch(r"born (?:[A-Z][a-z]+ \d{4}|\d{8}|\d{4}-\d\d)\.", moved)


@pytest.mark.parametrize(
    ("kind", "value", "check"),
    [
        ("NATIONAL_ID", "943 476 5919", is_nhs_number),
        ("NATIONAL_ID", "4010232137", is_nhs_number),
        ("BANK_ACCOUNT", "021000021", is_aba_number),
    ],
)
def test_other_check_digits_stay_right(kind: str, value: str, check: Callable[[str], bool]) -> None:
    assert check(digits_of(value)) and not check(digits_of(value)[:-1] + str((int(value[-1]) + 1) % 10))
    for n in range(30):
        made = of(kind, value, f"e{n}")
        assert (
            check(digits_of(made)) and re.sub(r"\d", "#", made) == re.sub(r"\d", "#", value) and made != value
        )


@given(
    kind=st.sampled_from(
        ["MEDICAL_RECORD", "POLICY_NUMBER", "PASSPORT", "NATIONAL_ID", "CASE_NUMBER", "BANK_ACCOUNT"]
    ),
    parts=st.lists(st.text(alphabet="0123456789", min_size=2, max_size=5), min_size=2, max_size=4),
    separator=st.sampled_from(["-", " ", "/", ""]),
    prefix=st.sampled_from(["", "MRN: ", "MRN-", "No. "]),
)
def test_a_number_of_papers_is_the_same_in_every_form(
    kind: str, parts: list[str], separator: str, prefix: str
) -> None:
    one = Surrogates(episode_key(KEY, "e1"))
    written = one.of(kind, prefix + separator.join(parts))
    assert digits_of(written) == digits_of(one.of(kind, "".join(parts)))
    assert written.startswith(prefix)


@pytest.mark.parametrize(("a", "b"), [("1,250.00", "1250"), ("1,250.00", "1250.0"), ("8,431.5", "8431.50")])
def test_an_amount_is_the_same_in_every_form(a: str, b: str) -> None:
    one = Surrogates(episode_key(KEY, "e1"))
    assert float(one.of("AMOUNT", a).replace(",", "")) == float(one.of("AMOUNT", b)) != float(b)


def test_a_part_of_an_address_is_a_part_of_its_stand_in() -> None:
    one = Surrogates(episode_key(KEY, "e1"))
    whole = one.of("STREET_ADDRESS", "12 Oak Street, Salem, OR 97301")
    assert (
        whole
        == f"{one.of('STREET_ADDRESS', '12 Oak Street')}, {whole.split(', ')[1]}, OR {one.of('STREET_ADDRESS', '97301')}"
    )
    change = replacer(("STREET_ADDRESS", "12 Oak Street, Salem, OR 97301"))
    assert change('{"city": "Salem"}') == f'{{"city": "{whole.split(", ")[1]}"}}'


def test_a_code_of_a_condition_stays_a_code() -> None:
    assert re.fullmatch(r"[A-Z]\d\d\.\d", of("HEALTH_CONDITION", "F32.1"))
    assert of("HEALTH_CONDITION", "type 2 diabetes").istitle()


@pytest.mark.parametrize(
    ("kind", "value", "lost"),
    [
        ("PASSWORD", "correct-horse-7", "correct"),
        ("PASSWORD", "Tulpen_im_Mai7", "Tulpen"),
        ("API_KEY", "hunting-lodge-44", "hunting"),
        ("POLICY_NUMBER", "Fitzgerald-2231", "Fitzgerald"),
    ],
)
def test_nothing_of_a_secret_stays_as_its_prefix(kind: str, value: str, lost: str) -> None:
    assert lost not in of(kind, value)


def test_a_name_whose_capitals_are_more_letters() -> None:
    change = replacer(("PERSON", "Jürgen Weiß"))
    name, capitals = change("Jürgen Weiß, JÜRGEN WEISS").split(", ")
    assert capitals == name.upper() != "JÜRGEN WEISS"


def test_two_numbers_that_differ_in_their_country_only_both_go() -> None:
    change = replacer(("PHONE_NUMBER", "+49 170 5567781"), ("PHONE_NUMBER", "+1 170 5567781"))
    for written in ("+491705567781", "+11705567781", "1705567781", "+49-170-5567781"):
        assert "1705567781" not in digits_of(change(f"call {written}."))


def test_escaped_letters_mean_the_same_person() -> None:
    change = replacer(("PERSON", "Jörg Größling"), ("PERSON", "J\\u00f6rg Gr\\u00f6\\u00dfling"))
    said = change('Result: {"name": "J\\u00f6rg Gr\\u00f6\\u00dfling"} of Jörg Größling')
    name = said.split(" of ")[1]
    assert said == f'Result: {{"name": {json.dumps(name)}}} of {name}' and "rg" not in name


def test_leaks_are_noticed() -> None:
    change = replacer(("EMAIL_ADDRESS", "Mia.Li@mail.com"), ("US_SSN", "925-22-8758"))
    assert change.leaks("MIA.LI@MAIL.COM") == "EMAIL_ADDRESS"
    assert change.leaks("925 22 8758") == "US_SSN"
    assert change.leaks(change("Mia.Li@mail.com 925-22-8758 mia.li@mail.com")) is None


values = st.lists(
    st.tuples(
        st.sampled_from(
            ["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "PASSWORD", "USERNAME", "STREET_ADDRESS", "US_SSN"]
        ),
        st.text(alphabet="abcXYZ019 @.-_", min_size=4, max_size=16)
        .map(str.strip)
        .filter(lambda v: len(v) > 3),
    ),
    max_size=5,
)


@given(found=values, text=st.text(alphabet="abcXYZ019 @.-_\n", max_size=80))
def test_replacing_is_a_function_of_the_text(found: list[tuple[str, str]], text: str) -> None:
    assert replacer(*found)(text) == replacer(*reversed(found))(text)


def shape(text: str) -> str:
    """Digits and letters by class; everything else as it is."""
    return "".join("0" if c.isdigit() else "A" if c.isupper() else "a" if c.islower() else c for c in text)


separators = st.sampled_from(["", " ", "-", ".", "/"])
REFILLED = [
    "US_SSN",
    "PHONE_NUMBER",
    "BANK_ACCOUNT",
    "PASSPORT",
    "DRIVER_LICENSE",
    "NATIONAL_ID",
    "POLICY_NUMBER",
    "CASE_NUMBER",
    "LICENSE_NUMBER",
    "MEDICAL_RECORD",
]


@given(
    st.sampled_from(REFILLED),
    st.lists(st.text("0123456789", min_size=2, max_size=5), min_size=2, max_size=4),
    separators,
)
def test_numbers_keep_digits_and_separators_in_their_places(
    kind: str, parts: list[str], separator: str
) -> None:
    value = separator.join(parts)
    made = of(kind, value)
    assert shape(made) == shape(value) and made == of(kind, value)


@given(
    st.sampled_from(["DE", "GB", "FR", "NL"]), st.text("0123456789", min_size=11, max_size=24), st.booleans()
)
def test_every_iban_keeps_country_length_and_a_valid_checksum(country: str, body: str, grouped: bool) -> None:
    number = f"{country}00{body}"
    value = " ".join(number[i : i + 4] for i in range(0, len(number), 4)) if grouped else number
    made = of("IBAN_CODE", value)
    assert is_iban(made) and shape(made) == shape(value) and made[:2] == country


@given(st.integers(10**12, 10**19 - 1), separators)
def test_cards_of_every_length_keep_their_form(number: int, separator: str) -> None:
    digits = str(number)
    value = separator.join(digits[i : i + 4] for i in range(0, len(digits), 4))
    made = of("CREDIT_CARD", value)
    assert is_luhn(digits_of(made)) and shape(made) == shape(value)


@given(st.dates(date(1950, 1, 1), date(2040, 12, 31)), st.integers(1, 200), st.text(min_size=1, max_size=8))
def test_all_dates_of_an_episode_move_by_one_offset(day: date, n_days: int, episode: str) -> None:
    later = day + timedelta(days=n_days)
    change = Replacer((), Surrogates(episode_key(KEY, episode)), lambda w: False, shift_all_dates=True)
    moved = change(f"from {day:%Y-%m-%d} to {later:%m/%d/%Y}").split()
    first, second = date.fromisoformat(moved[1]), datetime.strptime(moved[3], "%m/%d/%Y").date()
    assert second - first == later - day and first != day and (first - day).days % 7 == 0


@given(st.ip_addresses(v=4).map(str), st.from_regex(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", fullmatch=True))
def test_addresses_of_machines_stay_addresses(ip: str, mac: str) -> None:
    assert ipaddress.ip_address(of("IP_ADDRESS", ip)).version == 4
    assert shape(of("MAC_ADDRESS", mac)).replace("a", "0") == shape(mac).replace("a", "0")


@given(st.from_regex(r"[a-z]{3,9}[._][a-z]{3,9}[0-9]{0,4}@[a-z]{3,9}\.com", fullmatch=True))
def test_a_mail_address_stays_one_at_a_domain_nobody_has(value: str) -> None:
    local, _, domain = of("EMAIL_ADDRESS", value).partition("@")
    assert domain in ("example.com", "example.org", "example.net")
    assert [c for c in local if not c.isalpha() and not c.isdigit()] == [
        c for c in value.partition("@")[0] if c in "._"
    ]


@pytest.mark.parametrize(
    ("domain", "form"),
    [
        ("btinternet.co.uk", r"example\.co\.uk"),
        ("my-company.com", r"[a-z]{1,10}-example\.com"),
        ("t-online.de", r"[a-z]-example\.de"),
        ("web2.de", r"example\d\.de"),
        ("students.ucl.ac.uk", r"[a-z]+\.example\.ac\.uk"),
        ("gmx.net", r"example\.net"),
        ("MAIL.RU", r"EXAMPLE\.RU"),
        ("müller.de", r"[a-zà-ž]{7}\.de"),
    ],
)
def test_a_domain_keeps_its_shape(domain: str, form: str) -> None:
    made = of("EMAIL_ADDRESS", f"mia.li@{domain}").partition("@")[2]
    assert re.fullmatch(form, made) and made != domain


@pytest.mark.parametrize(
    "name", ["José Muñoz", "Zoé Müller", "Anne-Marie Côté", "Søren Dvořák", "Li Wu", "Maximiliane Berg"]
)
def test_a_name_keeps_accents_hyphens_words_and_about_its_length(name: str) -> None:
    made = of("PERSON", name)
    assert re.sub(r"[^\W\d_]", "", made) == re.sub(r"[^\W\d_]", "", name)
    for before, after in zip(re.split("[ -]", name), re.split("[ -]", made), strict=True):
        assert before.isascii() == after.isascii() and before != after
        assert (len(before) > 4, len(before) > 7) == (len(after) > 4, len(after) > 7)


def test_a_name_without_its_accents_is_the_same_name() -> None:
    change = replacer(("PERSON", "José Muñoz"), ("EMAIL_ADDRESS", "jose.munoz@mail.com"))
    first, last = change("José Muñoz").split()
    plain = change("jose.munoz@mail.com").partition("@")[0].split(".")
    assert plain == [without_accents(first).lower(), without_accents(last).lower()]


@given(st.lists(st.text("0123456789", min_size=9, max_size=9), min_size=2, max_size=8, unique=True))
def test_unequal_values_never_share_a_stand_in(values: list[str]) -> None:
    episode = Surrogates(episode_key(KEY, "e"))
    assert len({episode.of("US_SSN", v) for v in values}) == len(values)
