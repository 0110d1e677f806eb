"""Values that an argument of a listed tool could have: what its schema allows, what it had before, and what stands in
the prompt.

Every candidate keeps the argument's schema by construction: it is of the type, or one of the allowed values. Knows
nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from deputize.core.function_words import FUNCTION_WORDS
from deputize.core.listed_tools import ListedArgument
from deputize.specialists.written_dates import dates_as_asked

MAX_PIECES = 6
"""Pieces of the prompt that a copied text has at most, unless it is quoted."""
MAX_RAISED = 3
"""Words of a copied text that are also tried with capitals: people write names without."""
MAX_CANDIDATES = 400
MAX_TOKENS = 400
"""Pieces of a prompt that values are copied from: the last ones of a longer prompt."""

_PIECE: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|[^\W_][\w@.:/+#%&-]*[\w%#+]|\w|[^\w\s]")
_QUOTED: Final = re.compile(
    r"\"([^\"\n]{1,400})\"|“([^”\n]{1,400})”|(?<!\w)'([^'\n]{1,400})'(?!\w)|`([^`\n]{1,400})`"
)
_NUMBER: Final = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[-+]?\d+(?:\.\d+)?")
_STOPS: Final = frozenset('.!?;:()[]{}"“”`|<>=*')
_WORD_NUMBERS: Final = {
    name: n
    for n, name in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
    )
}


class ListedValue(NamedTuple):
    """A value that an argument could have, and where it is from."""

    value: Any
    source: str
    """One of SOURCES: left out, the schema's default, a choice of it, a value of training, quoted in the description, a
    number, a date in the form asked for, quoted in the prompt, words of it, these with capitals, a list of several,
    none of these."""
    start: int = -1
    """First piece of the prompt that it was copied from; -1 for what was not copied."""
    end: int = -1


ABSENT_VALUE: Final = ListedValue(None, "absent")
MISSING: Final = ListedValue(None, "missing")
"""In the place of a value that is none of the candidates: then the LLM answers."""
SOURCES: Final = (
    "absent",
    "default",
    "choice",
    "before",
    "described",
    "number",
    "date",
    "quoted",
    "span",
    "raised",
    "list",
    "missing",
)


class PromptPieces:
    """A prompt cut into words, numbers and signs."""

    def __init__(self, text: str) -> None:
        found = list(_PIECE.finditer(text))[-MAX_TOKENS:]
        self.text = text
        self.spans = [(m.start(), m.end()) for m in found]
        self.words = [m.group() for m in found]
        self.lower = [w.lower() for w in self.words]
        self.lowered = text.lower()

    def between(self, start: int, end: int) -> str:
        """The text of the pieces from start to before end, as it stands."""
        return self.text[self.spans[start][0] : self.spans[end - 1][1]]

    def at(self, begin: int, finish: int) -> tuple[int, int]:
        """The pieces that lie in a range of characters; (-1, -1) where none does."""
        inside = [i for i, (a, b) in enumerate(self.spans) if a >= begin and b <= finish]
        return (inside[0], inside[-1] + 1) if inside else (-1, -1)


@lru_cache(maxsize=64)
def pieces_of(text: str) -> PromptPieces:
    """The pieces of a prompt; the last ones are remembered, for each argument asks for them."""
    return PromptPieces(text)


def candidates(
    argument: ListedArgument, prompt: PromptPieces, before: Iterable[Any] = ()
) -> list[ListedValue]:
    """The values that an argument could have, each once, at most MAX_CANDIDATES.

    Args:
        argument: of a listed tool.
        prompt: the request.
        before: values that it had in training.
    """
    found: list[ListedValue] = [] if argument.required else [ABSENT_VALUE]
    if argument.default is not None and fits(argument, argument.default):
        found.append(ListedValue(argument.default, "default"))
    if argument.choices is not None and argument.type != "array":
        found += [ListedValue(c, "choice") for c in argument.choices if fits(argument, c)]
        return _distinct(found)
    if argument.type == "boolean":
        return _distinct([*found, ListedValue(True, "choice"), ListedValue(False, "choice")])
    found += [ListedValue(value, "before") for value in before if fits(argument, value)]
    if argument.type in ("integer", "number"):
        found += _numbers(prompt, argument.type)
    elif argument.type == "string":
        found += _described(argument)
        for day in dates_as_asked(prompt.text, argument.description):
            found.append(ListedValue(day.text, "date", *prompt.at(day.begin, day.finish)))
        found += _texts(prompt)
    elif argument.type == "array":
        found += _lists(prompt, argument)
    return _distinct(found)[:MAX_CANDIDATES]


def fits(argument: ListedArgument, value: Any) -> bool:
    """True where a value keeps the schema of an argument, as far as `candidates` fills any in."""
    type_ = argument.type
    if type_ == "array":
        return isinstance(value, list) and all(
            _is_of(argument.items, v) and (argument.choices is None or v in argument.choices) for v in value
        )
    if argument.choices is not None and value not in argument.choices:
        return False
    return _is_of(type_, value)


def _is_of(type_: str, value: Any) -> bool:
    if type_ == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if type_ == "integer":
        return isinstance(value, int)
    if type_ == "number":
        return isinstance(value, int | float)
    return type_ == "string" and isinstance(value, str)


def _distinct(found: Sequence[ListedValue]) -> list[ListedValue]:
    """Each value once, from the source that comes first; 1 and 1.0 and true are three values."""
    kept: dict[tuple[str, str], ListedValue] = {}
    for one in found:
        kept.setdefault(("" if one.source == "absent" else type(one.value).__name__, repr(one.value)), one)
    return list(kept.values())


def _numbers(prompt: PromptPieces, type_: str) -> list[ListedValue]:
    out = []
    for i, word in enumerate(prompt.lower):
        if word in _WORD_NUMBERS:
            out += _as_number(str(_WORD_NUMBERS[word]), type_, i)
        for found in _NUMBER.finditer(word):
            text = found.group().replace(",", "")
            before = prompt.text[: prompt.spans[i][0]][-1:] if found.start() == 0 else ""
            out += _as_number(text, type_, i)
            if before == "-" and not text.startswith("-"):
                out += _as_number(f"-{text}", type_, i)
    return out


def _as_number(text: str, type_: str, i: int) -> list[ListedValue]:
    number = float(text)
    if type_ == "integer":
        return [ListedValue(int(number), "number", i, i + 1)] if number.is_integer() else []
    whole = [ListedValue(int(number), "number", i, i + 1)] if number.is_integer() and "." not in text else []
    return [*whole, ListedValue(number, "number", i, i + 1)]


def _described(argument: ListedArgument) -> list[ListedValue]:
    """Texts that a description names in quotes: "use 'any' where it does not matter"."""
    quoted = (next(p for p in m.groups() if p is not None) for m in _QUOTED.finditer(argument.description))
    return [ListedValue(text, "described") for text in quoted]


def _texts(prompt: PromptPieces) -> list[ListedValue]:
    out = []
    for found in _QUOTED.finditer(prompt.text):
        text = next(part for part in found.groups() if part is not None)
        out.append(ListedValue(text, "quoted", *prompt.at(found.start(), found.end())))
    return [*out, *_runs(prompt)]


def _runs(prompt: PromptPieces) -> list[ListedValue]:
    """Neighbouring pieces within a sentence that neither begin nor end with a function word or a sign."""
    words = prompt.words
    out = []
    for i, word in enumerate(words):
        if word in FUNCTION_WORDS or not word[0].isalnum():
            continue
        for j in range(i + 1, min(i + MAX_PIECES, len(words)) + 1):
            last = words[j - 1]
            if last in _STOPS:
                break
            if last in FUNCTION_WORDS or not (last[-1].isalnum() or last[-1] in "%#+"):
                continue
            text = prompt.between(i, j)
            out.append(ListedValue(text, "span", i, j))
            if j - i <= MAX_RAISED and text.islower():
                out.append(ListedValue(_raised(text), "raised", i, j))
    return out


def _raised(text: str) -> str:
    """A text with a capital at the start of each word."""
    return " ".join(word[:1].upper() + word[1:] for word in text.split())


def _lists(prompt: PromptPieces, argument: ListedArgument) -> list[ListedValue]:
    """Lists of one value, and lists that stand in the prompt with commas or "and"."""
    if argument.choices is not None:
        shown = [c for c in argument.choices if str(c).lower() in prompt.lowered]
        single = [ListedValue([c], "choice") for c in argument.choices]
        return [*single, *([ListedValue(shown, "list")] if len(shown) > 1 else [])]
    if argument.items != "string":
        numbers = _numbers(prompt, argument.items)
        by_place = list({n.start: n for n in numbers}.values())
        single = [ListedValue([n.value], "number", n.start, n.end) for n in numbers]
        runs = [
            ListedValue([n.value for n in by_place[a:b]], "list", by_place[a].start, by_place[b - 1].end)
            for a in range(len(by_place))
            for b in range(a + 2, len(by_place) + 1)
        ][:60]
        return [*runs, *single]
    texts = _texts(prompt)
    quoted = [t.value for t in texts if t.source == "quoted"]
    together = [ListedValue(quoted, "list")] if len(quoted) > 1 else []
    return [*together, *_enumerations(prompt), *(t._replace(value=[t.value]) for t in texts)]


_JOINTS: Final = frozenset([",", "and", "or", "&"])


def _enumerations(prompt: PromptPieces) -> list[ListedValue]:
    """Lists such as "A, B and C": members of at most four pieces."""
    words, out = prompt.lower, []
    for i in range(len(words)):
        members: list[str] = []
        at = i
        while at < len(words):
            end = at
            while (
                end < len(words) and end - at < 4 and words[end] not in _JOINTS and words[end] not in _STOPS
            ):
                end += 1
            if end == at or words[at] in FUNCTION_WORDS:
                break
            if end < len(words) and words[end] in _JOINTS:
                members.append(prompt.between(at, end))
                at = end
                while at < len(words) and words[at] in _JOINTS:
                    at += 1
                continue
            for last in range(at + 1, end + 1):
                if len(members) >= 1:
                    out.append(ListedValue([*members, prompt.between(at, last)], "list", i, last))
            break
    return out[:80]
