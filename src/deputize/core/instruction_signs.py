"""Signs that a text speaks to a model as instructions do: the words by which such sentences begin, and words about
formats.

Each sign is a word of a fixed list, so that what is learned of calls ("translate" is in one in ten of them, "answer"
in none) holds nothing of their text. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import punctuation
from typing import Final

MAX_CHARS = 600
"""Characters of a text that are read."""
MAX_CONDITION = 16
"""Words from a condition to the verb of an order: "if the letter mentions a chair, answer ..."."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ORDERS: Final = _words(
    "answer respond reply return output print write say classify label treat antworte antworten schreibe gib réponds répondez "
    "écris responde responda escribe"
)
"""Verbs that make an instruction of a condition before them."""
_VERBS: Final = _ORDERS | _words(
    "translate summarise summarize explain use assume name choose pick select list give provide consider prefer include exclude "
    "add set rate score generate produce convert format follow omit skip reject accept allow limit never always ignore "
    "disregard forget act pretend think ignoriere nie niemals immer ne toujours nunca siempre"
)
"""First words of sentences that tell a model what to do."""
_PHRASES: Final = (
    "do not",
    "don't",
    "from now on",
    "make sure",
    "be sure",
    "you must",
    "you should",
    "instead of",
)
"""The same in several words."""
_FORMATS: Final = _words(
    "json yaml xml csv markdown label labels category categories instruction instructions prompt"
)
"""Words that instructions have anywhere."""
_CONDITIONS: Final = _words("if when whenever unless wenn falls si cuando")
_OPENERS: Final = _words("please also then now but and important note bitte")
_PHRASE_STARTS: Final = frozenset(phrase.split()[0] for phrase in _PHRASES)
_CAPITAL_VERBS: Final = frozenset(verb.title().encode() for verb in _VERBS)
_SIGNS: Final = _VERBS | _FORMATS
_SIGNS_IN_BYTES: Final = frozenset(word.encode() for word in _SIGNS)
_STARTS_IN_BYTES: Final = frozenset(word.encode() for word in _PHRASE_STARTS)
_FIRST_LOOK: Final = _SIGNS_IN_BYTES | _STARTS_IN_BYTES
_FORMATS_IN_BYTES: Final = frozenset(word.encode() for word in _FORMATS)
_ORDERS_IN_BYTES: Final = frozenset(word.encode() for word in _ORDERS)
_CONDITIONS_IN_BYTES: Final = frozenset(word.encode() for word in _CONDITIONS)
_SEPARATORS: Final = punctuation.replace("'", "").encode()
_TO_SPACES: Final = bytes.maketrans(_SEPARATORS, b" " * len(_SEPARATORS))
_SENTENCE_END: Final = re.compile(r"[.!?:;\n]\s+")


def signs_in(texts: Sequence[str]) -> dict[str, int]:
    """How often each sign is in some texts."""
    # most texts hold none: one look at all of them is quicker than one at each
    lowered = "\n".join(texts).lower()
    hints = _hints(lowered, _bytes_split(lowered))
    counts: dict[str, int] = {}
    if not hints:
        return counts
    for text in texts:
        low = text.lower()
        for sign in instruction_signs(text) if any(hint in low for hint in hints) else ():
            counts[sign] = counts.get(sign, 0) + 1
    return counts


def instruction_signs(text: str) -> list[str]:
    """The signs in a text, one for each place where one stands; most texts have none.

    A verb counts at the start of a sentence ("answer in German", politeness left aside) and wherever it has a capital;
    a condition before the verb of an order ("... if it is late, answer LATE"); a word about formats anywhere.
    """
    text = text[:MAX_CHARS]
    lowered = text.lower()
    found = _bytes_split(lowered)
    if not _hints(lowered, found):
        return []
    signs = [f"... {word.decode()}" for word in found if word in _FORMATS_IN_BYTES]
    if not _CONDITIONS_IN_BYTES.isdisjoint(found):
        for at, one in enumerate(found):
            if one in _CONDITIONS_IN_BYTES and not _ORDERS_IN_BYTES.isdisjoint(
                found[at + 1 : at + 1 + MAX_CONDITION]
            ):
                signs.append(f"{one.decode()} ...")
    for sentence in _SENTENCE_END.split(text):
        signs += _starts(_bytes_split(sentence))
    return signs


def _hints(lowered: str, words: list[bytes]) -> list[str]:
    """The words of a text, in lower-case letters, by which signs are known; none where it can hold no sign."""
    found = _FIRST_LOOK.intersection(words)
    if not found:
        return []
    # a condition needs a verb too
    if _SIGNS_IN_BYTES.isdisjoint(found) and not any(phrase in lowered for phrase in _PHRASES):
        return []
    return [word.decode() for word in found]


def _bytes_split(text: str) -> list[bytes]:
    """The words of a text without punctuation."""
    # of bytes it takes a tenth of the time
    return text.encode("utf-8", "surrogatepass").translate(_TO_SPACES).split()


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogatepass")


def _starts(words: list[bytes]) -> list[str]:
    """The verb or phrase that a sentence begins with, and verbs with a capital in it."""
    at, n_words = 0, len(words)
    while at < n_words and (first := _text(words[at]).lower()) in _OPENERS:
        at += 1
    if at == n_words:
        return []
    signs: list[str] = []
    if first in _VERBS:
        signs.append(first)
    elif first in _PHRASE_STARTS:
        start = _text(b" ".join(words[at : at + 3])).lower()
        signs += [phrase for phrase in _PHRASES if start.startswith(phrase)]
    if not _CAPITAL_VERBS.isdisjoint(words):
        # a new sentence need not be told from the one before it by a full stop
        signs += [_text(word).lower() for word in words[at + 1 :] if word in _CAPITAL_VERBS]
    return signs
