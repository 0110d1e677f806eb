"""Undoes what hides a value from patterns: invisible characters, look-alike letters, encodings, spaced and spelled
forms."""

from __future__ import annotations

import binascii
import html
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import lru_cache
from typing import NamedTuple

from deputize.privacy.detectors.base import Span, WrappingDetector
from deputize.privacy.scripts import UNSPACED

_SMALL_FORMS = frozenset("\u2024\ufe50\ufe51\ufe52\ufe58\ufe59\ufe5a\ufe5f\ufe60\ufe61\ufe62\ufe63\ufe6b")
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_LOOKALIKE = dict(
    zip(
        "аеорсухіјѕԁһӏАВЕКМНОРСТУХІЈЅαοντυρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxijsdhlABEKMHOPCTYXIJSaovtupikABEZHIKMNOPTYX",
        strict=True,
    )
)
_LOOKALIKE_IN_MAIL = _LOOKALIKE | {"。": "."}
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")
_ADDRESS = re.compile(r"[^\s@]{1,64}@[^\s@]{1,255}")

_AT_UNSPACED, _DOT_UNSPACED = "艾特|アットマーク|アット|골뱅이", "点|點|ドット"
"""Words of languages that are written without blanks."""
_AT_WORD = rf"at|arroba|arobase|chiocciola|małpa|klammeraffe|apenstaartje|kuyruklu|собака|собачка|zavináč|एट|ऐट|آت|أت|{_AT_UNSPACED}"
_DOT_WORD = rf"dot|punkt|punto|point|ponto|kropka|nokta|punt|точка|tečka|डॉट|दोत|دوت|نقطة|닷|{_DOT_UNSPACED}"
_AT = rf"(?:\s*[\[({{<]\s*(?i:{_AT_WORD}|a|ät|@)\s*[\])}}>]\s*|\s+(?i:{_AT_WORD})\s+|\s*(?:{_AT_UNSPACED})\s*|\s+@\s*|\s*@\s+)"
_DOT = rf"(?:\s*[\[({{<]\s*(?i:{_DOT_WORD}|\.)\s*[\])}}>]\s*|\s+(?i:{_DOT_WORD})\s+|\s*(?:{_DOT_UNSPACED})\s*|\.)"
_PART = rf"(?:(?!{_AT_UNSPACED}|{_DOT_UNSPACED})[\w+-]){{1,40}}+"
_SPELLED_MAIL = re.compile(
    rf"(?<![\w.+-])(?P<local>{_PART}(?:{_DOT}{_PART}){{0,4}})(?P<at>{_AT})(?P<domain>{_PART}(?:{_DOT}{_PART}){{1,4}})(?![\w@])"
)
_DOT_MARK = re.compile(_DOT)
_JOINED_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{9,120}(?![\w.+-])")
_JOINED_AT, _JOINED_DOT = re.compile(r"(?i:[_-]at[_-])"), re.compile(r"(?i:[_-]dot[_-])")
_GLUED_MAIL = re.compile(r"([a-z0-9._+-]+(?:DOT[a-z0-9_+-]+)*)AT([a-z0-9-]+(?:DOT[a-z0-9-]+)+)")
_MARKUP = r"\*{1,3}|</?[A-Za-z]{1,10}>|<!--[^<>\n]{0,40}-->"
_MARKED_AT = re.compile(rf"(?<=\w)(?:(?:{_MARKUP}){{1,3}}@(?:{_MARKUP}){{0,3}}|@(?:{_MARKUP}){{1,3}})(?=\w)")
_MARKDOWN_ESCAPE = re.compile(r"(?<=\w)\\(?=[@._+-]\w)")
_ENTITY = re.compile(r"&(?:#\d{1,10};?|#[xX][0-9a-fA-F]{1,8};?|[A-Za-z]{2,31};)")
_MAX_ENTITY_DEPTH = 3
"""An escape may be escaped again: `&amp;#64;`."""
_ESCAPE = re.compile(
    r"(?<!\\)\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))|%u([0-9a-fA-F]{4})"
)
_QUOTED_PRINTABLE = re.compile(
    r"(?:=[2-7][0-9A-F]){6,}|(?:=[C-F][0-9A-F](?:=[89AB][0-9A-F]){1,3})+|(?<=\w)=(?:40|2E|5F|2D|2B)(?=\w)|=\r?\n(?=\S)"
)
_ENCODED_WORD = re.compile(r"=\?[\w-]{2,20}\?[BbQq]\?[^?\s]*\?=")
_DASH = re.compile(rf"(?<=\w)[{_DASHES}](?=\w)")
_NUMBER_JOINTS = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,4}(?:/\d{1,8}){2,7}|(?:\+|00?(?=\d)|\()\d{1,5}\)?(?:\s?[_~·•∙⋅‧・]\s?\d{1,8}){2,7})(?!\w)"
)
_JOINT = re.compile(r"\s?[/_~·•∙⋅‧・]\s?")
_TAG_IN_NUMBER = re.compile(r"(?<=\d)<(?:br|wbr|b|i|span)[ /]{0,2}>(?=[\d(])")
_LETTERS_AS_DIGITS = re.compile(r"(?<!\w)\+\d[\dOoIl ().-]{7,18}[\dOoIl](?!\w)")
_DIGIT_SHAPES = str.maketrans("OoIl", "0011")
_MIN_REAL_DIGITS = 6
_SPACED = re.compile(r"(?<!\S)(?:\S[ \u00a0]){7,}\S(?!\S)")
_BROKEN_WORD = re.compile(r"(?<=\w)-\r?\n(?=[\w.@])")
_NUMBER_EDGE = re.compile(
    rf"(?<=[{UNSPACED}])(?=[+(]?[A-Za-z0-9][A-Za-z0-9 ._@+()/-]{{4}})"
    rf"|(?<=[A-Za-z0-9 ._@+()/-]{{4}}[A-Za-z0-9)])(?=[{UNSPACED}])"
)
_ASCII_SIGNS = re.compile(
    rf"&(?:#|[a-z])|=[0-9A-F]{{2}}|=\?|=\r?\n|-\r?\n|\\[ux][{{0-9a-fA-F][0-9a-fA-F]|%u[0-9a-fA-F]{{2}}|\\[@._+-]"
    rf"|\+\d[\dOoIl ()./_~-]*[OoIl/_~]|(?<!\w)[0(]\d+\)?_\d|\d<(?:br|wbr|b|i|span)\b"
    rf"|[\[({{<]\s?(?i:at|a|arroba|@)\s?[\])}}>]|\s(?i:{_AT_WORD})\s|\s@|@\s|[*>]@|@[*<]|(?i:[_-]dot[_-])|[a-z0-9]DOT[a-z]"
    r"|(?<!\S)(?:\S ){7}"
)
"""What a text of ASCII characters must hold before anything in it is looked at."""
_INVISIBLE_RANGES = (
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
)
_OTHER_SIGNS = re.compile(
    rf"{_ASCII_SIGNS.pattern}|[^\D0-9]|[\u0300-\u036f\u2024\u2070-\u24ff{_INVISIBLE_RANGES}]|{_AT_UNSPACED}"
    rf"|\d\)?\s?[·•∙⋅‧・]|\w[{_DASHES}]\w|[A-Za-z][{''.join(_LOOKALIKE)}]|[{''.join(_LOOKALIKE)}][A-Za-z]|@\S*[{''.join(_LOOKALIKE)}。]"
)
MAX_CACHED_CHARS = 4000
"""Longer texts are not remembered: each of their characters takes some memory."""


class PlainText(NamedTuple):
    """A text as it is meant, and the place of each of its characters in the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) in the original of a part that is not empty."""
        return self.starts[start], self.ends[end - 1]


def deobfuscate(text: str) -> PlainText | None:
    """The text as it is meant; None where nothing changes.

    Letters are folded only in words that mix scripts, so that text in Greek or Cyrillic is not changed.
    """
    return _remembered(text) if len(text) <= MAX_CACHED_CHARS else _deobfuscated(text)


def may_be_disguised(text: str) -> bool:
    """False where `deobfuscate` certainly changes nothing but the width of characters and blanks around numbers; takes
    far less time."""
    return (_ASCII_SIGNS if text.isascii() else _OTHER_SIGNS).search(text) is not None


def _deobfuscated(text: str) -> PlainText | None:
    if text.isascii():
        if not _ASCII_SIGNS.search(text):
            return None
        plain = PlainText(text, list(range(len(text))), list(range(1, len(text) + 1)))
    else:
        plain = _without_disguise(text)
    for _ in range(_MAX_ENTITY_DEPTH):
        before, plain = plain, _replaced(plain, _ENTITY, lambda m: _visible(html.unescape(m.group())))
        if plain is before:
            break
    plain = _replaced(plain, _ESCAPE, _unescaped)
    plain = _replaced(plain, _MARKDOWN_ESCAPE, lambda _: "")
    plain = _replaced(plain, _MARKED_AT, lambda _: "@")
    plain = _replaced(plain, _ENCODED_WORD, _decoded_word)
    plain = _replaced(plain, _QUOTED_PRINTABLE, _decoded_bytes)
    plain = _replaced(plain, _TAG_IN_NUMBER, lambda _: " ")
    plain = _replaced(plain, _NUMBER_JOINTS, lambda m: _JOINT.sub("-", m.group()))
    plain = _replaced(plain, _LETTERS_AS_DIGITS, _as_digits)
    plain = _replaced(plain, _BROKEN_WORD, lambda _: "")
    plain = _replaced(plain, _DASH, lambda _: "-")
    plain = _replaced(plain, _SPACED, lambda m: "".join(m.group().split()))
    plain = _replaced(plain, _JOINED_MAIL, _joined_mail)
    plain = _replaced(plain, _SPELLED_MAIL, _mail)
    if not plain.text.isascii():
        plain = _replaced(plain, _NUMBER_EDGE, lambda _: " ")
    return None if plain.text == text else plain


_remembered = lru_cache(maxsize=8192)(_deobfuscated)


def as_meant(text: str) -> str:
    """The text without disguise, as `deobfuscate` sees it."""
    plain = deobfuscate(text)
    return plain.text if plain else text


def _without_disguise(text: str) -> PlainText:
    """The text without invisible characters, with its compatible characters, digits and look-alike letters folded."""
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for index, char in enumerate(text):
        if char > "\x7f":
            if _is_invisible(char):
                continue
            if chars and _is_overlay(char, chars[-1]):
                ends[-1] = index + 1
                continue
            char = _folded(char)
        chars.append(char)
        starts.append(index)
        ends.append(index + 1)
    plain = _WORD.sub(_fold_mixed, "".join(chars))
    # a mail address is treated as one word: every letter of its domain may be of another script
    if "@" in plain:
        plain = _ADDRESS.sub(_plain_address, plain)
    return PlainText(plain, starts, ends)


def _is_invisible(char: str) -> bool:
    return (
        unicodedata.category(char) == "Cf"
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0000" <= char <= "\U000e01ef"
        or "\u180b" <= char <= "\u180f"
        or char in _FILLERS
    )


def _is_overlay(char: str, before: str) -> bool:
    """True for a mark that strikes out, underlines or frames what is before it, or that no letter is under."""
    return (
        "\u0332" <= char <= "\u0338"
        or "\u20d0" <= char <= "\u20f0"
        or ("\u0300" <= char <= "\u036f" and not before.isalpha())
    )


def _folded(char: str) -> str:
    """A digit of any script as 0 to 9, a compatible form (full width, mathematical) as its plain letter."""
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if char.isspace() or char > "\uff00" or "\u2070" <= char <= "\u24ff" or char in _SMALL_FORMS:
        folded = unicodedata.normalize("NFKC", char)
        return folded if len(folded) == 1 else char
    return char


def _fold_mixed(match: re.Match[str]) -> str:
    word = match.group()
    if word.isascii() or not _LATIN.search(word):
        return word
    return "".join(_LOOKALIKE.get(c, c) for c in word)


def _plain_address(match: re.Match[str]) -> str:
    address = match.group()
    return "".join(_LOOKALIKE_IN_MAIL.get(c, c) for c in address) if _LATIN.search(address) else address


def _replaced(
    plain: PlainText, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str | None]
) -> PlainText:
    """The text with each match changed; every new character has the place of the whole match."""
    text, starts, ends = [], list[int](), list[int]()
    done = 0
    for match in pattern.finditer(plain.text):
        new = change(match)
        if new is None or new == match.group():
            continue
        at, end = match.span()
        text += [plain.text[done:at], new]
        starts += plain.starts[done:at]
        ends += plain.ends[done:at]
        first = plain.starts[at] if at < len(plain.starts) else plain.ends[-1]
        last = plain.ends[end - 1] if end > at else first
        starts += [first] * len(new)
        ends += [last] * len(new)
        done = end
    if not text:
        return plain
    return PlainText(
        "".join([*text, plain.text[done:]]), starts + plain.starts[done:], ends + plain.ends[done:]
    )


def _visible(text: str) -> str:
    """The text that an escape stands for, folded as `_without_disguise` folds it."""
    return "".join(_folded(c) if c > "\x7f" else c for c in text if not _is_invisible(c))


def _as_digits(match: re.Match[str]) -> str | None:
    """A number with digits for the letters that look like them; None where most of it are letters."""
    found = match.group()
    n_digits = sum(c.isdigit() for c in found)
    return found.translate(_DIGIT_SHAPES) if n_digits >= _MIN_REAL_DIGITS else None


def _unescaped(match: re.Match[str]) -> str | None:
    """The character of an escape; None for one that would change the syntax around it."""
    code = int(match[1] or match[2] or match[3] or match[4], 16)
    char = chr(code) if code <= sys.maxunicode else "\0"
    return _visible(char) if (char.isprintable() or char > "\x7f") and char not in "\"'\\" else None


def _decoded_word(match: re.Match[str]) -> str | None:
    try:
        return str(make_header(decode_header(match.group())))
    except (HeaderParseError, LookupError, UnicodeDecodeError, binascii.Error):
        return None


def _decoded_bytes(match: re.Match[str]) -> str | None:
    found = match.group()
    if found.isspace() or "\n" in found:
        return ""
    try:
        return bytes.fromhex(found.replace("=", "")).decode()
    except ValueError:
        return None


def _joined_mail(match: re.Match[str]) -> str | None:
    """The mail address in `ann_at_corp_dot_com` or `annATcorpDOTcom`; None for any other word."""
    word = match.group()
    if glued := _GLUED_MAIL.fullmatch(word):
        return f"{glued[1]}@{glued[2]}".replace("DOT", ".")
    parts = _JOINED_AT.split(word)
    if len(parts) != 2 or not all(parts) or not _JOINED_DOT.search(parts[1]):
        return None
    return "@".join(_JOINED_DOT.sub(".", part) for part in parts)


def _mail(match: re.Match[str]) -> str | None:
    """The mail address that is spelled out; None where the words are more likely prose."""
    local, at, domain = match["local"], match["at"], match["domain"]
    is_marked = any(mark in at for mark in "[({<@") or at.strip() in _AT_UNSPACED.split("|")
    is_spelled = bool(re.search(rf"\s(?i:{_DOT_WORD})\s", domain))
    if not (is_marked or is_spelled or at.strip() == "AT" or re.search(r"[.\d]", local)):
        return None
    written = f"{_DOT_MARK.sub('.', local)}@{_DOT_MARK.sub('.', domain)}"
    return written if re.search(r"\.[^\W\d_]{2,24}$", written) else None


class DeobfuscatingDetector(WrappingDetector):
    """Shows deobfuscated texts to a detector, and returns its spans with the positions in the original."""

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        seen = [deobfuscate(text) for text in texts]
        found = self._inner.detect([s.text if s else text for s, text in zip(seen, texts, strict=True)])
        return [
            spans
            if s is None
            else [Span(x.type, *s.original(x.start, x.end), x.score, x.detector) for x in spans]
            for s, spans in zip(seen, found, strict=True)
        ]
