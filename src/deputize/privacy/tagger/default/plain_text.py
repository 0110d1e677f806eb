"""Everyday lines and words of many languages, without personal data, from the translations that MIT-licensed packages
carry.

The archives are fetched once into a folder: `npm pack monaco-editor @strapi/admin` and
`pip download --no-deps indico kolibri jieba`.
They teach the tagger what is no name in languages for which no real labelled line may be trained on.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from deputize.privacy.tagger.default.generated_text import PlainWords, read_frames
from deputize.privacy.tagger.default.package_archives import members

_MONACO = {
    "tr": "tr",
    "ja": "ja",
    "zh-cn": "zh",
    "zh-tw": "zh",
    "ko": "ko",
    "ru": "ru",
    "de": "de",
    "fr": "fr",
    "es": "es",
    "pl": "pl",
    "pt-br": "pt",
    "it": "it",
    "cs": "cs",
}
_INDICO = {
    "tr_TR": "tr",
    "zh_Hans_CN": "zh",
    "pl_PL": "pl",
    "de_DE": "de",
    "fr_FR": "fr",
    "es_ES": "es",
    "pt_BR": "pt",
    "it_IT": "it",
    "cs_CZ": "cs",
    "uk_UA": "ru",
}
_KOLIBRI = {"ar": "ar", "hi_IN": "hi", "ko": "ko"}
_STRAPI = frozenset(["tr", "ar", "ja", "zh", "hi", "ko", "ru"])
_NOT_LATIN = frozenset(["ar", "zh", "ja", "ko", "ru", "hi"])
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_PLACEHOLDER = re.compile(r"%\(\w+\)[sdr]|%[sd]|\{[^{}]*\}")
_MARKUP = re.compile(r"<[^<>]*>|&\w+;|`|\\n|\*\*|&&?|\[\[|\]\]")
_NAMES_SOMEBODY = re.compile(r"@|https?:|Indico|Strapi|CERN|Kolibri")
_HAN_VERBS, _HAN_WORDS = frozenset(["v", "d"]), frozenset(["n", "vn", "an", "a", "nz", "l", "i"])
_HAN_NOUN = re.compile(r"[\u4e00-\u9fff]{2,4}|[\u30a1-\u30fa\u30fc]{3,8}")
_KATAKANA_NOUN = re.compile(r"[\u30a1-\u30fa\u30fc]{3,8}")
_ARABIC_WORDS = re.compile(r"[\u0621-\u064a]{3,}(?: [\u0621-\u064a]{3,})?")


def read_plain_words(folder: Path) -> dict[str, PlainWords]:
    """Language -> its everyday lines and words. Archives that are not in the folder are left out."""
    raw: dict[str, list[str]] = defaultdict(list)
    for read in (_monaco, _strapi, _indico, _kolibri):
        for language, line in read(folder):
            raw[language].append(line)
    lines = {language: _clean(language, found) for language, found in raw.items()}
    words: dict[str, dict[str, list[str]]] = {language: {} for language in read_frames()}
    words["zh"] = _chinese_words(folder)
    japanese = "\n".join(lines.get("ja", []))
    words["ja"] = {
        "w": _HAN_NOUN.findall(japanese) + _lorem("ja_JP") * 20,
        "k2": _KATAKANA_NOUN.findall(japanese),
    }
    words["ar"] = {"w": _ARABIC_WORDS.findall("\n".join(lines.get("ar", []))) + _lorem("ar_AA") * 3}
    return {language: PlainWords(lines.get(language, []), words[language]) for language in words}


def _lorem(locale: str) -> list[str]:
    return list(import_module(f"faker.providers.lorem.{locale}").Provider.word_list)


def _clean(language: str, lines: Iterable[str]) -> list[str]:
    """Distinct lines of 4 to 240 characters without markup, placeholders or names."""
    out = set()
    for line in lines:
        text = " ".join(_MARKUP.sub("", _PLACEHOLDER.sub("12", line)).split())
        if 4 <= len(text) <= 240 and not _NAMES_SOMEBODY.search(text):
            out.add(text)
    if language in _NOT_LATIN:
        out = {text for text in out if sum(char > "\u0370" for char in text) > 0.4 * len(text)}
    return sorted(out)


def _monaco(folder: Path) -> Iterator[tuple[str, str]]:
    for name, text in members(folder, "monaco-editor", r"package/esm/vs/nls/lang/(.+)\.js"):
        if name in _MONACO:
            yield from ((_MONACO[name], json.loads(found)) for found in _STRING.findall(text))


def _strapi(folder: Path) -> Iterator[tuple[str, str]]:
    pattern = r"package/dist/admin/admin/src/translations/([a-z]{2})[\w-]*\.json\.mjs"
    for name, text in members(folder, "strapi-admin", pattern):
        if name in _STRAPI:
            found = re.findall(r'[:=]\s*("(?:[^"\\]|\\.)*")', text)
            yield from ((name, json.loads(one)) for one in found)


def _indico(folder: Path) -> Iterator[tuple[str, str]]:
    pattern = r"indico/translations/(\w+)/LC_MESSAGES/messages[\w-]*\.po"
    for name, text in members(folder, "indico", pattern):
        for block in text.split("\n\n") if name in _INDICO else ():
            match = re.search(r'^msgstr(?:\[0\])? ((?:".*"\n?)+)', block, re.MULTILINE)
            if match and "fuzzy" not in block:
                yield _INDICO[name], "".join(json.loads(one) for one in _STRING.findall(match[1]))


def _kolibri(folder: Path) -> Iterator[tuple[str, str]]:
    pattern = r"kolibri/locale/(\w+)/LC_MESSAGES/[\w.-]+-messages\.json"
    for name, text in members(folder, "kolibri", pattern):
        if name in _KOLIBRI:
            yield from ((_KOLIBRI[name], line) for line in json.loads(text).values())


def _chinese_words(folder: Path) -> dict[str, list[str]]:
    """Words of jieba's dictionary by kind, frequent ones several times."""
    out: dict[str, list[str]] = {"w": [], "v": []}
    for _, text in members(folder, "jieba", r".*/(jieba/dict\.txt)"):
        for line in text.splitlines():
            word, count, kind = line.split(" ")
            slot = "v" if kind in _HAN_VERBS else "w" if kind in _HAN_WORDS else None
            if slot and int(count) >= 20 and len(word) <= 4:
                out[slot] += [word] * min(12, int(int(count) ** 0.5 / 4) + 1)
    return out
