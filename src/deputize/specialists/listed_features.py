"""Features of a listed tool, and of a value of one of its arguments, beside a request: numbers that also tell of tools
never seen in training.

Legend: T tools of one list, K candidates of one argument, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from deputize.core.function_words import FUNCTION_WORDS
from deputize.core.listed_tools import (
    ListedArgument,
    ListedTool,
    content_words,
    tool_words,
    words_in_order,
)
from deputize.specialists.listed_values import SOURCES, ListedValue, PromptPieces

Floats = npt.NDArray[np.float32]
N_BUCKETS = 1 << 14
_PREPOSITIONS: Final = "in at to from for on of with as by is about named called between and or".split()  # noqa: SIM905
_TYPES: Final = ("string", "integer", "number", "boolean", "array")


def bucket_of(word: str) -> int:
    """The bucket of a word's document frequency."""
    return crc32(word.encode("utf-8", "surrogatepass")) % N_BUCKETS


class WordWeights:
    """Inverse document frequencies of words, in hashed buckets."""

    def __init__(self, idf_B: Floats) -> None:
        self.idf_B = idf_B

    def sum(self, words: Iterable[str]) -> float:
        """The summed weights of words."""
        return float(sum(self.idf_B[bucket_of(word)] for word in words))

    def part(self, shared: Iterable[str], whole: Iterable[str]) -> float:
        """The part of a set of words, by weight, that is shared; 0 of no words."""
        total = self.sum(whole)
        return self.sum(shared) / total if total else 0.0


def fit_weights(documents: Sequence[Iterable[str]], subjects: Sequence[str], least: int) -> WordWeights:
    """Weights of words over documents; a bucket of fewer than `least` subjects (or than three) weighs as one never
    seen.

    Args:
        documents: the words of each.
        subjects: whose each is.
        least: data subjects that must share a word for its frequency to be told.
    """
    holders: dict[int, set[str]] = {}
    for words, who in zip(documents, subjects, strict=True):
        for bucket in {bucket_of(word) for word in words}:
            holders.setdefault(bucket, set()).add(who)
    n = len(set(subjects))
    idf_B = np.full(N_BUCKETS, np.log(1 + n) + 1, np.float32)
    for bucket, held in holders.items():
        if len(held) >= max(least, 3):
            idf_B[bucket] = np.log((1 + n) / (1 + len(held))) + 1
    return WordWeights(idf_B)


class CallRates:
    """How often tools were called where they were listed, by their digest; only of tools that enough data subjects
    had."""

    def __init__(self, counts: dict[str, tuple[int, int]]) -> None:
        self.counts = counts
        """Name of a tool -> groups that listed it, groups that called it."""

    def features(self, name: str, own: tuple[int, int] = (0, 0)) -> list[float]:
        """[seen, shrunken rate]; `own` is what the request's own group adds to the counts, which is taken off in
        training."""
        listed, called = self.counts.get(name, (0, 0))
        listed, called = listed - own[0], called - own[1]
        return [float(listed > 0), (called + 1.0) / (max(listed, 0) + 2.0), float(np.log1p(max(listed, 0)))]


def tool_features(
    words_in_prompt: frozenset[str],
    prompt: PromptPieces,
    tools: Sequence[ListedTool],
    weights: WordWeights,
    rates: Callable[[str], list[float]],
) -> Floats:
    """Features of each tool of a list and, in the last row, of calling none of them. Shape [T + 1, D]."""
    numbers = sum(word[0].isdigit() for word in prompt.words)
    rows = [_of_tool(words_in_prompt, numbers, tool, weights) + rates(tool.name) for tool in tools]
    n_own = len(rows[0]) if rows else 0
    own = np.array(rows, np.float32).reshape(len(rows), n_own)
    n = len(tools)
    lead = np.zeros((n, 5), np.float32)
    for place, column in enumerate((0, 1, 5, 6, 8)):
        for i in range(n):
            others = [own[j, column] for j in range(n) if j != i]
            lead[i, place] = own[i, column] - max(others, default=0.0)
    general = [
        np.log1p(n),
        float(n == 1),
        np.log1p(len(prompt.words)),
        float("?" in prompt.words),
        np.log1p(numbers),
        *(own.max(axis=0)[[0, 1, 5, 6, 7, 8]] if n else np.zeros(6)),
    ]
    out = np.zeros((n + 1, 1 + n_own + 5 + 2 * len(general)), np.float32)
    out[:n, 1 : 1 + n_own] = own
    out[:n, 1 + n_own : 6 + n_own] = lead
    out[:n, 6 + n_own : 6 + n_own + len(general)] = general
    out[n, 0] = 1.0
    out[n, 6 + n_own + len(general) :] = general
    return out


def _of_tool(words: frozenset[str], numbers: int, tool: ListedTool, weights: WordWeights) -> list[float]:
    name, description = content_words(tool.name), content_words(tool.description)
    arguments = content_words(" ".join(a.name for a in tool.arguments))
    told = content_words(" ".join(a.description for a in tool.arguments))
    choices = content_words(" ".join(str(c) for a in tool.arguments for c in a.choices or ()))
    every = tool_words(tool)
    needed = [a for a in tool.arguments if a.required]
    n_numbers = sum(a.type in ("integer", "number") for a in needed)
    starts = {word[:5] for word in words if len(word) >= 5}
    named = {word[:5] for word in name | description if len(word) >= 5}
    return [
        weights.part(words & name, name),
        weights.part(words & description, description),
        weights.part(words & arguments, arguments),
        weights.part(words & told, told),
        weights.part(words & choices, choices),
        weights.part(words & every, words),
        weights.part(words & name, words),
        weights.part(words & description, words),
        len(starts & named) / max(len(starts), 1),
        weights.part(words & choices, words),
        np.log1p(weights.sum(words & every)),
        np.log1p(len(needed)),
        float(n_numbers <= numbers),
        float(n_numbers - min(n_numbers, numbers)),
        float(any(a.type == "any" for a in needed)),
        np.log1p(len(tool.arguments)),
    ]


class ArgumentHistory:
    """The values that an argument had in training, as far as enough data subjects had them, and how it was filled
    in."""

    def __init__(self, n: int, sources: dict[str, int], values: dict[str, int]) -> None:
        self.n, self.sources, self.values = n, sources, values
        """Groups with the argument's tool called; of them, by the source of the value; of them, by value as JSON."""


NO_HISTORY: Final = ArgumentHistory(0, {}, {})


def value_features(
    tool: ListedTool,
    argument: ListedArgument,
    found: Sequence[ListedValue],
    written: Sequence[str],
    prompt: PromptPieces,
    history: ArgumentHistory,
    own: Callable[[str, str], tuple[int, int, int]],
) -> Floats:
    """Features of the candidates of an argument. Shape [K, D].

    Args:
        tool: that is called.
        argument: of it.
        found: its candidates.
        written: these as JSON.
        prompt: the request.
        history: of the argument.
        own: from source and value as JSON to what the request's own group adds to the history (groups, of the source,
            of the value).
    """
    facts = _ArgumentFacts(tool, argument, prompt)
    n_copied = sum(one.start >= 0 for one in found)
    out = np.zeros((len(found), N_VALUE_FEATURES), np.float32)
    for k, (one, text) in enumerate(zip(found, written, strict=True)):
        out[k] = [
            *(float(one.source == source) for source in SOURCES),
            *_history_features(one.source, text, history, own),
            *facts.of(one, n_copied),
        ]
    return out


def _history_features(
    source: str, written: str, history: ArgumentHistory, own: Callable[[str, str], tuple[int, int, int]]
) -> list[float]:
    n_own, of_source_own, of_value_own = own(source, written)
    n = max(history.n - n_own, 0)
    of_source = max(history.sources.get(source, 0) - of_source_own, 0)
    of_value = max(history.values.get(written, 0) - of_value_own, 0)
    return [
        float(np.log1p(n)),
        float(n > 0),
        (of_source + 0.3) / (n + 2.0) if n else 0.0,
        of_value / (n + 1.0),
        float(np.log1p(of_value)),
    ]


class _ArgumentFacts:
    """Facts that the features of all candidates of an argument need."""

    def __init__(self, tool: ListedTool, argument: ListedArgument, prompt: PromptPieces) -> None:
        self.argument, self.prompt = argument, prompt
        self.name = frozenset(words_in_order(argument.name)) - FUNCTION_WORDS
        self.told = content_words(argument.description)
        self.described = argument.description.lower()
        self.is_rivalled = sum(a.type == argument.type for a in tool.arguments) > 1
        self.rivals = content_words(
            " ".join(f"{a.name} {a.description}" for a in tool.arguments if a.name != argument.name)
        )
        self.last = max(len(prompt.words), 1)
        self.common = [
            *(float(argument.type == name) for name in _TYPES),
            float(argument.required),
            float(argument.choices is not None),
            float("default" in self.described or argument.default is not None),
            float("format" in self.described),
            float(self.is_rivalled),
            float(np.log1p(len(prompt.words))),
            *(float(word in self.name or word in argument.name.lower()) for word in _KINDS),
        ]

    def of(self, one: ListedValue, n_copied: int) -> list[float]:
        """The features of one candidate besides its source and its history."""
        return [*self.common, *self._next_to(one), *self._of_value(one), float(np.log1p(n_copied))]

    def _next_to(self, one: ListedValue) -> list[float]:
        """The words next to a copied value, and how they are like the argument."""
        words = self.prompt.lower
        if one.start < 0:
            return [0.0] * (_N_NEXT_TO + len(_PREPOSITIONS))
        before = words[max(one.start - 4, 0) : one.start]
        after = words[one.end : one.end + 3]
        near = {w for w in words_in_order(" ".join(before)) if w not in FUNCTION_WORDS}
        far = {w for w in words_in_order(" ".join(after)) if w not in FUNCTION_WORDS}
        left = before[-1] if before else "^"
        inside = content_words(" ".join(words[one.start : one.end]))
        caps = self._is_capital(one.start), self._is_capital(one.end - 1)
        return [
            float(bool(near & self.name)),
            float(bool(near & self.told)),
            float(bool(near & self.rivals - self.told - self.name)),
            float(bool(far & self.name)),
            float(bool(far & self.told)),
            float(bool(far & self.rivals - self.told - self.name)),
            float(bool(inside & self.name)),
            len(inside & self.told) / max(len(inside), 1),
            float(left in self.argument.name.lower().split("_")),
            one.start / self.last,
            float(one.end - one.start),
            float(caps[0]),
            float(caps[1]),
            float(caps[0] and self._is_capital(one.start - 1)),
            float(caps[1] and self._is_capital(one.end)),
            float(one.start == 0),
            float(left in "\"'“`("),
            float(left in FUNCTION_WORDS),
            float(bool(after) and after[0] in FUNCTION_WORDS),
            float(bool(after) and not after[0].isalnum()),
            float(not after),
            *(float(left == word) for word in _PREPOSITIONS),
        ]

    def _is_capital(self, place: int) -> bool:
        words = self.prompt.words
        return 0 <= place < len(words) and words[place][0].isupper()

    def _of_value(self, one: ListedValue) -> list[float]:
        text = str(one.value) if one.source != "absent" else ""
        low = text.lower()
        words = content_words(text)
        in_prompt = content_words(self.prompt.text) if words else frozenset()
        return [
            float(bool(low) and low in self.prompt.lowered),
            len(words & in_prompt) / max(len(words), 1),
            float(bool(low) and low in self.described),
            float(any(c.isdigit() for c in text)),
            float(text.isdigit()),
            float("," in text),
            float(" " in text),
            float(text.isupper()),
            float(text.islower()),
            float(text[:1].isupper()),
            float(any(c in text for c in "/\\@:_")),
            float(np.log1p(len(text))),
            float(one.source == "default" and one.value == self.argument.default),
            float(one.value is True) - float(one.value is False),
            float(len(one.value)) if isinstance(one.value, list) else 0.0,
        ]


_KINDS: Final = "id name date time city location number count type unit query url code text price".split()  # noqa: SIM905
_N_NEXT_TO: Final = 21
N_VALUE_FEATURES: Final = (
    len(SOURCES) + 5 + len(_TYPES) + 6 + len(_KINDS) + _N_NEXT_TO + len(_PREPOSITIONS) + 15 + 1
)
