"""Numbers whose digits are spelled out, in eleven languages: found, and written with other digits."""

from __future__ import annotations

import random
import re
from itertools import chain

_DIGITS = (
    "zero one two three four five six seven eight nine",
    "null eins zwei drei vier fünf sechs sieben acht neun",
    "zéro un deux trois quatre cinq six sept huit neuf",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "zero um dois três quatro cinco seis sete oito nove",
    "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć",
    "sıfır bir iki üç dört beş altı yedi sekiz dokuz",
    "zero uno due tre quattro cinque sei sette otto nove",
    "nul een twee drie vier vijf zes zeven acht negen",
    "صفر واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة",
    "शून्य एक दो तीन चार पांच छह सात आठ नौ",
    "ноль один два три четыре пять шесть семь восемь девять",
)
_IDEOGRAPHS = "〇一二三四五六七八九"
_WORDS = [line.split() for line in _DIGITS]
_OTHERS = [
    "oh",
    "zwo",
    "fuenf",
    "seite",
    "meia",
    "deux",
    "trois",
    "hundred",
    "double",
    "triple",
    "doppel",
    "doble",
    "doppelt",
    "اثنين",
    "ثلاث",
    "أربع",
    "خمس",
    "ست",
    "سبع",
    "ثماني",
    "تسع",
    "पाँच",
    "छः",
]
_WORD = "|".join(sorted({*chain(*_WORDS), *_OTHERS}, key=lambda w: (-len(w), w)))
DIGIT_WORDS = (*sorted({*chain(*_WORDS), *_OTHERS}), *(a + b for a in _IDEOGRAPHS for b in _IDEOGRAPHS))
"""Every word for a digit; of ideographs, which need no blanks, every pair."""
SPELLED_NUMBER = re.compile(
    rf"(?<!\w)(?:(?:{_WORD})(?!\w)[ ,\t-]{{1,3}}){{6,}}(?:{_WORD})(?!\w)|[{_IDEOGRAPHS}零]{{7,}}",
    re.IGNORECASE,
)
"""At least seven digits in words."""


def other_digit_words(text: str, rng: random.Random) -> str:
    """The text with every digit in words as another one of the same language."""

    def other(match: re.Match[str]) -> str:
        found = match.group()
        if len(found) == 1 and found in _IDEOGRAPHS + "零":
            return rng.choice(_IDEOGRAPHS[1:])
        best = max(_WORDS, key=lambda words: sum(w in text.casefold() for w in words))
        made = rng.choice([w for w in best if w != found.casefold()])
        return made.upper() if found.isupper() else made.capitalize() if found.istitle() else made

    return re.sub(rf"(?<!\w)(?:{_WORD})(?!\w)|[{_IDEOGRAPHS}零]", other, text, flags=re.IGNORECASE)
