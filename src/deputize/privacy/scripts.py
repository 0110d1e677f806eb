"""Writing systems: which letters put no blanks between words, which marks belong to the letter before, letters of one
script. Pure."""

from __future__ import annotations

import random
import string

UNSPACED = "\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
"""Letters of scripts that put no blanks between words, for a class of a pattern: next to a number they are not part of
it."""
MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
    "\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a03\u0a3c-\u0a4d\u0a81-\u0a83\u0abc-\u0acd\u0b3e-\u0b4d\u0bbe-\u0bcd\u0c3e-\u0c4d\u0cbe-\u0ccd"
)
"""Vowel signs and other marks of a word that `\\w` does not match, for a class of a pattern."""
WORD = rf"[^\W\d_](?:[^\W\d_]|[{MARKS}])*"
"""A word of letters with their marks."""

_RANGES = (
    ("А", "Я"), ("а", "я"), ("Α", "Ρ"), ("α", "ρ"), ("א", "ת"), ("ا", "ي"), ("अ", "औ"), ("क", "ह"), ("ক", "হ"),
    ("ก", "ฮ"), ("ぁ", "ん"), ("ァ", "ン"), ("가", "힣"),
)  # fmt: skip
_IDEOGRAPHS = "安柏成德恩芳国海佳建嘉康兰立林美明宁平清荣瑞山思松天文希新秀雅言宜永玉元云泽志中子"


def letters_like(char: str) -> str:
    """Letters of the script and case of a letter that is not Latin; "" where none are listed."""
    if "\u3400" <= char <= "\u9fff":
        return _IDEOGRAPHS
    for first, last in _RANGES:
        if first <= char <= last:
            return "".join(chr(c) for c in range(ord(first), ord(last) + 1))
    return ""


def character_like(char: str, rng: random.Random) -> str:
    """Another character of the same class, case and script; what is no letter or digit stays."""
    if char.isdigit():
        if char.isascii() or not char.isdecimal():
            return rng.choice(string.digits)
        return chr(ord(char) - int(char) + rng.randrange(10))
    if char.isalpha():
        letters = "" if char.isascii() else letters_like(char)
        return rng.choice(letters or (string.ascii_uppercase if char.isupper() else string.ascii_lowercase))
    return char


LOCALE_OF_SCRIPT = (
    ("\u3400", "\u9fff", "zh_CN"), ("\u3040", "\u30ff", "ja_JP"), ("\uac00", "\ud7af", "ko_KR"),
    ("\u0600", "\u06ff", "ar_AA"), ("\u0900", "\u097f", "hi_IN"), ("\u0400", "\u04ff", "ru_RU"),
    ("\u0370", "\u03ff", "el_GR"), ("\u0590", "\u05ff", "he_IL"),
)  # fmt: skip
"""First and last letter of a script, and the locale of Faker whose names are written in it."""


def locale_of(word: str) -> str:
    """The locale of Faker with names in the script of a word; "" for Latin and for scripts that it does not have."""
    for first, last, locale in LOCALE_OF_SCRIPT:
        if any(first <= char <= last for char in word):
            return locale
    return ""
