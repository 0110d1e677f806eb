"""A gazetteer of people's names: the lists of Faker for forty locales, and those of other scripts."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import lru_cache

from deputize.core.errors import MissingExtra

_LOCALES = (
    "en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR", "sv_SE",
    "tr_TR", "ja_JP", "id_ID", "fi_FI", "cs_CZ", "no_NO", "da_DK", "de_AT", "de_CH", "es_MX", "es_AR", "es_CO",
    "fr_CA", "fr_CH", "pt_PT", "ro_RO", "hu_HU", "hr_HR", "sk_SK", "sl_SI", "lt_LT", "lv_LV", "en_IE", "nl_BE",
    "en", "fr_BE", "es_CL", "et_EE", "en_PK",
)  # fmt: skip
_FURTHER_NAMES = [
    "Mohamed", "Muhammad", "Mohammed", "Ahmed", "Ali", "Omar", "Hassan", "Hussein", "Fatima", "Aisha",
    "Yusuf", "Ibrahim", "Mei", "Wei", "Li", "Wang", "Zhang", "Liu", "Chen", "Yang", "Huang", "Zhao", "Wu",
    "Zhou", "Xu", "Sun", "Ma", "Zhu", "Hu", "Guo", "Lin", "Luo", "Zheng", "Liang", "Xie", "Tang", "Kim",
    "Lee", "Park", "Choi", "Jung", "Kang", "Cho", "Yoon", "Jang", "Lim", "Nguyen", "Tran", "Pham", "Hoang",
    "Phan", "Vu", "Dang", "Bui", "Do", "Ngo", "Sato", "Suzuki", "Takahashi", "Tanaka", "Ivan", "Olga",
    "Dmitri", "Sergei", "Svetlana", "Kirill", "Oksana", "Andrii", "Kwame", "Chinedu", "Ngozi", "Abebe",
    "Thabo", "Zanele",
]  # fmt: skip
"""Names of languages that Faker has few of."""
_AMBIGUOUS = frozenset([
    "Will", "May", "Mark", "Grace", "Hope", "Rose", "Bill", "Summer", "Autumn", "April", "June", "August",
    "Frank", "Rich", "Art", "Dean", "Drew", "Faith", "Joy", "Jean", "Pat", "Sue", "Rob", "Jack", "Chase",
    "Chance", "Price", "Page", "Day", "Long", "Young", "Small", "Short", "Black", "White", "Green", "Gray",
    "Brown", "King", "Knight", "Bishop", "Pope", "Cook", "Baker", "Mason", "Carter", "Hunter", "Fisher",
    "Farmer", "Shepherd", "Major", "Case", "Bond", "Cash", "Love", "Best", "Good", "Park", "Woods", "Banks",
    "Fields", "Rivers", "Stone", "Hill", "Church", "House", "Field", "Street", "Place", "Way", "Lane",
    "Ford", "Miles", "Fox", "Wolf", "Bird", "Drake", "Bush", "Flowers", "Berry", "Rice", "Bean", "Pepper",
    "Root", "Branch", "Line", "Post", "Bell", "Ball", "Board", "Booth", "Case", "Cross", "Stamp", "Sharp",
    "Strong", "Swift", "Rich", "Noble", "Savage", "Power", "Powers", "York", "Paris", "London", "Austin",
    "Dallas", "Houston", "Phoenix", "Chester", "Florence", "Jordan", "Israel", "India", "China", "Georgia",
    "Virginia", "Carolina", "Dakota", "Sierra", "Savannah", "Madison", "Charlotte", "Orlando", "Melody",
    "Harmony", "Star", "Sky", "Ocean", "River", "Rain", "Storm", "Diamond", "Ruby", "Pearl", "Crystal",
    "Ivory", "Amber", "Golden", "Data", "Hotel", "Check", "Test", "Order",
])  # fmt: skip
"""Names that are as often everyday words or places: alone they are no evidence of a name."""


@lru_cache(maxsize=1)
def gazetteer() -> frozenset[str]:
    """First and last names, case folded, about 17,000. Raises MissingExtra where Faker is not installed."""
    out = {name.casefold() for name in _FURTHER_NAMES}
    for locale in _LOCALES:
        try:
            provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        except ImportError:
            raise MissingExtra.package("Faker", "privacy") from None
        for attribute in vars(provider):
            if "name" in attribute:
                out.update(_words(getattr(provider, attribute)))
    return frozenset(out)


def _words(value: object) -> Iterator[str]:
    """The capitalised words of one of Faker's lists: a tuple, a dict with weights, or pairs."""
    if isinstance(value, str):
        if value.isalpha() and value[0].isupper() and len(value) > 1:
            yield value.casefold()
    elif isinstance(value, tuple | list | dict):
        for inner in value:
            yield from _words(inner)


_AMBIGUOUS_FOLDED = frozenset(w.casefold() for w in _AMBIGUOUS)


@lru_cache(maxsize=8)
def native_names(locale: str) -> frozenset[str]:
    """First and last names of one of Faker's locales that are one word, as they are written in its script."""
    try:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    except ImportError:
        raise MissingExtra.package("Faker", "privacy") from None
    return frozenset(
        n
        for n in (*getattr(provider, "first_names", ()), *getattr(provider, "last_names", ()))
        if " " not in n
    )


def is_name(word: str) -> bool:
    """True where a word is a name in any of the languages."""
    return word.casefold().strip(".,'’") in gazetteer()


def is_only_name(word: str) -> bool:
    """True where a word is a name and no everyday English word or place."""
    folded = word.casefold().strip(".,'’")
    return folded in gazetteer() and folded not in _AMBIGUOUS_FOLDED
