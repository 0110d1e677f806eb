"""Undoes what hides a value from patterns: invisible characters, look-alike letters, encodings, spaced and spelled forms."""

from __future__ import annotations

import binascii
import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import lru_cache
from typing import NamedTuple

from deputize.privacy.detectors.base import Span, WrappingDetector
from deputize.privacy.scripts import UNSPACED

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_LOOKALIKE = dict(
    zip(
        "аеорсухіјѕԁһӏАВЕКМНОРСТУХІЈЅαοντυρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxijsdhlABEKMHOPCTYXIJSaovtupikABEZHIKMNOPTYX",
        strict=True,
    )
)
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")

_AT_WORD = r"at|arroba|arobase|chiocciola|małpa|klammeraffe|apenstaartje|kuyruklu"
_DOT_WORD = r"dot|punkt|punto|point|ponto|kropka|nokta"
_AT = rf"(?:\s*[\[({{<]\s*(?i:{_AT_WORD}|a|ät|@)\s*[\])}}>]\s*|\s+(?i:{_AT_WORD})\s+|\s+@\s*|\s*@\s+)"
_DOT = rf"(?:\s*[\[({{<]\s*(?i:{_DOT_WORD}|\.)\s*[\])}}>]\s*|\s+(?i:{_DOT_WORD})\s+|\.)"
_SPELLED_MAIL = re.compile(
    rf"(?<![\w.+-])(?P<local>[\w+-]{{1,40}}+(?:{_DOT}[\w+-]{{1,40}}+){{0,4}})(?P<at>{_AT})"
    rf"(?P<domain>[\w-]{{1,40}}+(?:{_DOT}[\w-]{{1,40}}+){{1,4}})(?![\w@])"
)
_DOT_MARK = re.compile(_DOT)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
_ESCAPE = re.compile(r"(?<!\\)\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
_QUOTED_PRINTABLE = re.compile(
    r"(?:=[C-F][0-9A-F](?:=[89AB][0-9A-F]){1,3})+|(?<=\w)=(?:40|2E|5F|2D|2B)(?=\w)|=\r?\n(?=\S)"
)
_ENCODED_WORD = re.compile(r"=\?[\w-]{2,20}\?[BbQq]\?[^?\s]*\?=")
_DASH = re.compile(rf"(?<=\w)[{_DASHES}](?=\w)")
_SPACED = re.compile(r"(?<!\S)(?:\S[ \u00a0]){7,}\S(?!\S)")
_BROKEN_WORD = re.compile(r"(?<=\w)-\r?\n(?=[\w.@])")
_NUMBER_EDGE = re.compile(
    rf"(?<=[{UNSPACED}])(?=[+(]?[A-Za-z0-9][A-Za-z0-9 ._@+()/-]{{4}})"
    rf"|(?<=[A-Za-z0-9 ._@+()/-]{{4}}[A-Za-z0-9)])(?=[{UNSPACED}])"
)
_ASCII_SIGNS = re.compile(
    rf"&(?:#|[a-z])|=[0-9A-F]{{2}}|=\?|=\r?\n|-\r?\n|\\[ux][0-9a-fA-F]{{2}}|[\[({{<]\s?(?i:at|a|arroba|@)\s?[\])}}>]|\s(?i:{_AT_WORD})\s|\s@|@\s"
    r"|(?<!\S)(?:\S ){7}"
)
"""What a text of ASCII characters must hold before anything in it is looked at."""


class PlainText(NamedTuple):
    """A text as it is meant, and the place of each of its characters in the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) in the original of a part that is not empty."""
        return self.starts[start], self.ends[end - 1]


@lru_cache(maxsize=8192)
def deobfuscate(text: str) -> PlainText | None:
    """The text as it is meant; None where nothing changes.

    Letters are folded only in words that mix scripts, so that text in Greek or Cyrillic is not changed.
    """
    if text.isascii():
        if not _ASCII_SIGNS.search(text):
            return None
        plain = PlainText(text, list(range(len(text))), list(range(1, len(text) + 1)))
    else:
        plain = _without_disguise(text)
    plain = _replaced(plain, _ENTITY, lambda m: html.unescape(m.group()))
    plain = _replaced(plain, _ESCAPE, _unescaped)
    plain = _replaced(plain, _ENCODED_WORD, _decoded_word)
    plain = _replaced(plain, _QUOTED_PRINTABLE, _decoded_bytes)
    plain = _replaced(plain, _BROKEN_WORD, lambda _: "")
    plain = _replaced(plain, _DASH, lambda _: "-")
    plain = _replaced(plain, _SPACED, lambda m: "".join(m.group().split()))
    plain = _replaced(plain, _SPELLED_MAIL, _mail)
    if not plain.text.isascii():
        plain = _replaced(plain, _NUMBER_EDGE, lambda _: " ")
    return None if plain.text == text else plain


def as_meant(text: str) -> str:
    """The text without disguise, as `deobfuscate` sees it."""
    plain = deobfuscate(text)
    return plain.text if plain else text


def _without_disguise(text: str) -> PlainText:
    """The text without invisible characters, with its compatible characters, digits and look-alike letters folded."""
    chars: list[str] = []
    starts: list[int] = []
    for index, char in enumerate(text):
        if char > "\x7f":
            if _is_invisible(char) or ("\u0300" <= char <= "\u036f" and chars and not chars[-1].isalpha()):
                continue
            char = _folded(char)
        chars.append(char)
        starts.append(index)
    plain = _WORD.sub(_fold_mixed, "".join(chars))
    # a mail address is treated as one word: every letter of its domain may be of another script
    plain = re.sub(
        r"\S+@\S+",
        lambda m: "".join(_LOOKALIKE.get(c, c) for c in m.group()) if _LATIN.search(m.group()) else m.group(),
        plain,
    )
    return PlainText(plain, starts, [i + 1 for i in starts])


def _is_invisible(char: str) -> bool:
    return (
        unicodedata.category(char) == "Cf"
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0000" <= char <= "\U000e01ef"
        or "\u180b" <= char <= "\u180f"
        or char in _FILLERS
    )


def _folded(char: str) -> str:
    """A digit of any script as 0 to 9, a compatible form (full width, mathematical) as its plain letter."""
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if char.isspace() or char > "\uff00" or "\u2070" <= char <= "\u24ff":
        folded = unicodedata.normalize("NFKC", char)
        return folded if len(folded) == 1 else char
    return char


def _fold_mixed(match: re.Match[str]) -> str:
    word = match.group()
    if word.isascii() or not _LATIN.search(word):
        return word
    return "".join(_LOOKALIKE.get(c, c) for c in word)


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


def _unescaped(match: re.Match[str]) -> str | None:
    """The character of an escape; None for one that would change the syntax around it."""
    char = chr(int(match[1] or match[2], 16))
    return char if char.isprintable() and char not in "\"'\\" else None


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


def _mail(match: re.Match[str]) -> str | None:
    """The mail address that is spelled out; None where the words are more likely prose."""
    local, at, domain = match["local"], match["at"], match["domain"]
    is_marked = any(mark in at for mark in "[({<@")
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
