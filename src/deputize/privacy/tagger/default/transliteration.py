"""Writes Latin names in other scripts the way foreign names are written there, roughly; for generated training text."""

from __future__ import annotations

import random
import re
import unicodedata

_KANA: dict[str, str] = {}
for _c, _v in {
    "": ["ア", "エ", "イ", "オ", "ウ"],
    "k": ["カ", "ケ", "キ", "コ", "ク"],
    "g": ["ガ", "ゲ", "ギ", "ゴ", "グ"],
    "s": ["サ", "セ", "シ", "ソ", "ス"],
    "z": ["ザ", "ゼ", "ジ", "ゾ", "ズ"],
    "t": ["タ", "テ", "ティ", "ト", "トゥ"],
    "d": ["ダ", "デ", "ディ", "ド", "ドゥ"],
    "n": ["ナ", "ネ", "ニ", "ノ", "ヌ"],
    "h": ["ハ", "ヘ", "ヒ", "ホ", "フ"],
    "b": ["バ", "ベ", "ビ", "ボ", "ブ"],
    "p": ["パ", "ペ", "ピ", "ポ", "プ"],
    "m": ["マ", "メ", "ミ", "モ", "ム"],
    "r": ["ラ", "レ", "リ", "ロ", "ル"],
    "w": ["ワ", "ウェ", "ウィ", "ウォ", "ウ"],
    "f": ["ファ", "フェ", "フィ", "フォ", "フ"],
    "v": ["ヴァ", "ヴェ", "ヴィ", "ヴォ", "ヴ"],
    "j": ["ジャ", "ジェ", "ジ", "ジョ", "ジュ"],
    "sh": ["シャ", "シェ", "シ", "ショ", "シュ"],
    "ch": ["チャ", "チェ", "チ", "チョ", "チュ"],
    "y": ["ヤ", "イェ", "イ", "ヨ", "ユ"],
}.items():
    for _vowel, _kana in zip("aeiou", _v, strict=True):
        _KANA[_c + _vowel] = _kana
_KANA_FINAL = {"n": "ン", "t": "ト", "d": "ド", "sh": "シュ", "ch": "チ", "j": "ジ", "m": "ム", "y": "イ"}
_HAN_ROWS = {
    "": "阿埃伊奥乌艾安",
    "b": "巴贝比博布",
    "p": "帕佩皮波普",
    "m": "马梅米莫穆曼",
    "f": "法费菲福弗",
    "v": "瓦维维沃武",
    "w": "瓦韦威沃伍",
    "d": "达德迪多杜丹",
    "t": "塔特蒂托图坦",
    "n": "纳内尼诺努南",
    "r": "拉雷里罗鲁兰",
    "k": "卡凯基科库坎",
    "g": "加盖吉戈古冈",
    "h": "哈赫希霍胡汉",
    "s": "萨塞西索苏桑",
    "z": "扎泽齐佐祖赞",
    "sh": "沙谢希肖舒尚",
    "ch": "查切奇乔丘钱",
    "j": "贾杰吉乔朱詹",
    "y": "亚耶伊约尤扬",
    "l": "拉莱利洛卢兰",
}
_HAN_FINAL = {
    "b": "布",
    "p": "普",
    "m": "姆",
    "f": "夫",
    "v": "夫",
    "w": "",
    "d": "德",
    "t": "特",
    "n": "恩",
    "r": "尔",
    "k": "克",
    "g": "格",
    "h": "赫",
    "s": "斯",
    "z": "兹",
    "sh": "什",
    "ch": "奇",
    "j": "奇",
    "y": "伊",
    "l": "尔",
}
_ARABIC: dict[str, str | tuple[str, ...]] = {
    "a": "ا",
    "e": ("", "ي", "ا"),
    "i": "ي",
    "o": "و",
    "u": "و",
    "b": "ب",
    "p": "ب",
    "t": "ت",
    "th": "ث",
    "j": ("ج",),
    "h": ("ه", "ح"),
    "kh": "خ",
    "d": "د",
    "r": "ر",
    "z": "ز",
    "s": "س",
    "sh": "ش",
    "ch": "تش",
    "f": "ف",
    "ph": "ف",
    "q": "ق",
    "k": "ك",
    "l": "ل",
    "m": "م",
    "n": "ن",
    "w": "و",
    "y": "ي",
    "v": "ف",
    "g": ("غ", "ج"),
    "x": "كس",
    "c": "ك",
}
_CYRILLIC: dict[str, str | tuple[str, ...]] = {
    "sch": "ш",
    "sh": "ш",
    "ch": "ч",
    "th": "т",
    "ph": "ф",
    "ck": "к",
    "a": "а",
    "b": "б",
    "c": "к",
    "d": "д",
    "e": "е",
    "f": "ф",
    "g": "г",
    "h": "х",
    "i": "и",
    "j": "дж",
    "k": "к",
    "l": "л",
    "m": "м",
    "n": "н",
    "o": "о",
    "p": "п",
    "q": "к",
    "r": "р",
    "s": "с",
    "t": "т",
    "u": "у",
    "v": "в",
    "w": "у",
    "x": "кс",
    "y": "и",
    "z": "з",
}
_SYLLABLE = re.compile(r"(sh|ch|[bcdfghjklmnpqrstvwxyz]?)([aeiou]?)")
_SAME_SOUND = (
    ("sch", "sh"),
    ("ck", "k"),
    ("ph", "f"),
    ("th", "t"),
    ("kh", "k"),
    ("x", "ks"),
    ("q", "k"),
    ("ce", "se"),
    ("ci", "si"),
    ("c", "k"),
)


def plain_latin(name: str) -> str:
    """A name in the letters a to z, accents dropped."""
    folded = unicodedata.normalize(
        "NFKD", name.lower().replace("ł", "l").replace("ı", "i").replace("ß", "ss")
    )
    return re.sub(r"[^a-z]", "", folded)


def _sounds(name: str) -> list[tuple[str, str]]:
    """(consonant, vowel) pairs of a name, either may be empty; doubled letters count once."""
    text = re.sub(r"([a-z])\1+", r"\1", plain_latin(name))
    text = text.replace("ch", "C").replace("sch", "S").replace("sh", "S")
    for written, spoken in _SAME_SOUND:
        text = text.replace(written, spoken)
    text = text.replace("C", "ch").replace("S", "sh")
    return [(c, v) for c, v in _SYLLABLE.findall(text) if c or v]


def katakana(name: str, rng: random.Random) -> str:
    """A name in Katakana."""
    out = []
    for consonant, vowel in _sounds(name):
        consonant = "r" if consonant == "l" else consonant
        if vowel:
            out.append(_KANA.get(consonant + vowel, ""))
            if rng.random() < 0.12:
                out.append("ー")
        else:
            out.append(
                "ー"
                if consonant == "r" and rng.random() < 0.6
                else _KANA_FINAL.get(consonant) or _KANA.get(consonant + "u", "")
            )
    return "".join(out).lstrip("ーン")


def chinese(name: str, rng: random.Random) -> str:
    """A name in the characters that write foreign names in Chinese."""
    out = []
    for consonant, vowel in _sounds(name):
        row = _HAN_ROWS.get(consonant, "")
        if vowel and row:
            at = "aeiou".index(vowel)
            out.append(
                rng.choice(row[5:]) if len(row) > 5 and vowel == "a" and rng.random() < 0.3 else row[at]
            )
        else:
            out.append(_HAN_FINAL.get(consonant, ""))
    return "".join(out)[:5]


def arabic(name: str, rng: random.Random) -> str:
    """A name in Arabic letters."""
    return _letters(name, _ARABIC, rng)


def cyrillic(name: str, rng: random.Random) -> str:
    """A name in Cyrillic letters, capitalised."""
    return _letters(name, _CYRILLIC, rng).capitalize()


def _letters(name: str, table: dict[str, str | tuple[str, ...]], rng: random.Random) -> str:
    text, out, at = plain_latin(name), [], 0
    while at < len(text):
        for size in (3, 2, 1):
            found = table.get(text[at : at + size])
            if found is not None:
                out.append(found if isinstance(found, str) else rng.choice(found))
                at += size
                break
        else:
            at += 1
    return "".join(out)
