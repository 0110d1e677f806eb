"""The language of a line, told by its script and its function words. Pure.

It decides which lines are of a language in which the recall of personal data has been measured. Limits: a line of less
than three function words, such as a name alone, has no language; languages of one script whose letters do not tell them
apart count as one (Hindi for Devanagari, Russian for Cyrillic without Ukrainian letters); a mixed line counts as the
language of most of it.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any

MEASURED_SETS: dict[str, dict[str, Any]] = tomllib.loads(
    resources.files("deputize.privacy").joinpath("measured.toml").read_text("utf-8")
)
"""Set of standard detectors -> what was measured of it, by language."""
MEASURED = frozenset(MEASURED_SETS["default_tagger"]["languages"])
"""Languages in which the recall of the standard detectors with the default tagger has been measured."""
OTHER_LATIN = "other (Latin script)"
NAMES = {
    **{"en": "English", "de": "German", "fr": "French", "es": "Spanish", "pt": "Portuguese", "pl": "Polish"},
    **{"tr": "Turkish", "ar": "Arabic", "hi": "Hindi", "zh": "Chinese", "ja": "Japanese", "it": "Italian"},
    **{"nl": "Dutch", "sv": "Swedish", "no": "Norwegian or Danish", "fi": "Finnish", "cs": "Czech or Slovak"},
    **{"ro": "Romanian", "hu": "Hungarian", "hr": "Croatian or Serbian", "id": "Indonesian or Malay"},
    **{"vi": "Vietnamese", "ru": "Russian", "uk": "Ukrainian", "el": "Greek", "he": "Hebrew", "ko": "Korean"},
    **{"th": "Thai", "fa": "Persian", "ur": "Urdu", "bn": "Bengali", "sw": "Swahili", "tl": "Tagalog"},
    **{"ta": "Tamil", "te": "Telugu", "ka": "Georgian", "hy": "Armenian", "am": "Amharic"},
}
"""Language -> its name for people."""

_FUNCTION_WORDS = {
    "en": "a an the of and to in is that it for was on are with as at be this have from or by not but what my your we you i can please",
    "de": "der die das und ist nicht ich ein eine zu mit von den auf für im dem sie es sich auch als wie bei nach noch bitte meine",
    "fr": "le la les des et est une un dans que pour pas qui sur avec ce je vous du au par plus mon sont être cette bonjour",
    "es": "el la los las de que y en un una es por con para no se del su lo como más pero mi está son al hola",
    "pt": "o os as de que e em um uma é por com para não se do da no na mais como mas meu minha está são ao olá",
    "pl": "i w z na do nie się jest że to o jak ale po od za dla co czy przez mój moja jestem być są proszę dzień",
    "tr": "ve bir bu için ile da de ne mi mı çok olarak daha ben benim gibi ama var yok lütfen merhaba değil sonra kadar",
    "it": "il lo gli di che e è un una per con non si del della sono mi ma come più nel alla ho questo buongiorno",
    "nl": "de het een van en is dat niet ik te in op met voor zijn er aan maar bij ook naar mijn wij deze hallo",
    "sv": "och att det som en på är av för med den till inte jag har om ett men var från min hej inte kan",
    "no": "og at det som en på er av for med den til ikke jeg har om et men var fra min hei kan vi",
    "fi": "ja on ei se että en hän minä olen oli mutta kun niin myös ovat voi tämä sen minun hei kiitos ole mitä",
    "cs": "a je se na v že to s z do pro jak ale jsem jsou by nebo po od při moje prosím dobrý který",
    "ro": "și de la în cu este un o nu pe care să mai din pentru sunt am dar vă mea meu bună ca",
    "hu": "a az és hogy nem is egy van de meg ez volt csak már mint kell vagy nekem szeretnék kérem jó napot",
    "hr": "i je u se na da za su od s ali kao to koji nije bi ili sam moj moja dobar dan molim",
    "id": "yang dan di ini itu dengan untuk dari tidak saya adalah ke pada akan ada juga sudah bisa anda atau karena",
    "vi": "và là của có không được cho trong một với người này tôi đã các những để khi đến cũng xin",
    "sw": "na ya wa kwa ni katika la za hii hiyo mimi kuwa yangu wangu sana lakini nina habari ili au",
    "tl": "ang ng sa na mga ay ko ako mo si ito hindi po kung para siya lang din aking ka",
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {
    word: tuple(language for language, words in _FUNCTION_WORDS.items() if word in words.split())
    for words in _FUNCTION_WORDS.values()
    for word in words.split()
}
_LATIN_WORD = re.compile(r"[^\W\d_]+")
_MIN_HITS, _MIN_LEAD, _MIN_SHARE = 3, 2, 0.2
"""An unmeasured language has so many function words in a line, so many more than any measured one has, and this share
of the words."""
_MIN_WORDS_OF_OTHERS = 12
"""A line of so many words in lower case without one function word of these languages is of another one."""
_MEASURED_LETTERS = frozenset("ğıßñłżźśąęãõœ")
"""Letters of measured languages: a line with one of them is rather of these, though it has none of their function
words."""
_SCRIPTS = (
    ("\u0370", "\u03ff", "el"),
    ("\u0400", "\u04ff", "ru"),
    ("\u0530", "\u058f", "hy"),
    ("\u0590", "\u05ff", "he"),
    ("\u0600", "\u06ff", "ar"),
    ("\u0900", "\u097f", "hi"),
    ("\u0980", "\u09ff", "bn"),
    ("\u0b80", "\u0bff", "ta"),
    ("\u0c00", "\u0c7f", "te"),
    ("\u0e00", "\u0e7f", "th"),
    ("\u10a0", "\u10ff", "ka"),
    ("\u1200", "\u137f", "am"),
    ("\u3040", "\u30ff", "ja"),
    ("\u3400", "\u9fff", "zh"),
    ("\uac00", "\ud7af", "ko"),
)
_LETTERS = (("ru", "uk", "іїєґ"), ("ar", "ur", "ٹڈڑںےھ"), ("ar", "fa", "پچژگ"))
"""(language of a script, another one of it, letters that only that one has)."""


def function_words(language: str) -> frozenset[str]:
    """The commonest function words of a language in Latin script, in lower case."""
    return frozenset(_FUNCTION_WORDS[language].split())


@lru_cache(maxsize=1)
def all_function_words() -> frozenset[str]:
    """The function words of all languages in Latin script, in lower case."""
    return frozenset(word for words in _FUNCTION_WORDS.values() for word in words.split())


@lru_cache(maxsize=4096)
def language_of(line: str) -> str:
    """The language of a line (a key of NAMES, or OTHER_LATIN); "" where it cannot be told."""
    if not line.isascii():
        language = _by_script(line)
        if language:
            return language
    return _by_function_words(line.casefold())


def name_of(language: str) -> str:
    """The name of a language for people."""
    return NAMES.get(language, language)


def _by_script(line: str) -> str:
    """The language of most letters of a line, where they are of another script than the Latin one."""
    counts: dict[str, int] = {}
    n_latin = 0
    for char in line:
        if not char.isalpha():
            continue
        if char < "\u0370":
            n_latin += 1
            continue
        for first, last, language in _SCRIPTS:
            if first <= char <= last:
                counts[language] = counts.get(language, 0) + 1
                break
    if not counts or sum(counts.values()) < max(2, n_latin / 2):
        return ""
    if counts.get("ja") and counts.get("zh"):
        return "ja"  # kana among ideographs
    found = max(counts, key=lambda one: counts[one])
    for of_script, other, letters in _LETTERS:
        if found == of_script and any(char in letters for char in line.casefold()):
            return other
    return found


def _by_function_words(folded: str) -> str:
    found = _LATIN_WORD.findall(folded)
    n_words, words = len(found), set(found)  # "a" again and again says no more than once
    hits: dict[str, int] = {}
    for word in words:
        for language in _LANGUAGES_OF.get(word, ()):
            hits[language] = hits.get(language, 0) + 1
    best_measured = max((n for language, n in hits.items() if language in MEASURED), default=0)
    others = [language for language in hits if language not in MEASURED]
    if others:
        other = max(others, key=lambda one: hits[one])
        n = hits[other]
        if n >= _MIN_HITS and n >= best_measured + _MIN_LEAD and n >= _MIN_SHARE * len(words):
            return other
    if best_measured:
        best = max((one for one in hits if one in MEASURED), key=lambda one: hits[one])
        return best if hits[best] >= _MIN_HITS else ""
    if not hits and n_words >= _MIN_WORDS_OF_OTHERS and _is_prose(folded, n_words):
        return OTHER_LATIN
    return ""


def _is_prose(folded: str, n_words: int) -> bool:
    """True for words with blanks between them and hardly anything else: no code, no list of values."""
    marks = sum(not (c.isalpha() or c.isspace() or c in ".,'’?!") for c in folded)
    return marks * 10 <= n_words and folded.count(",") * 3 <= n_words and _MEASURED_LETTERS.isdisjoint(folded)
