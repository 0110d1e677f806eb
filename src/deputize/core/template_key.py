"""Template key of a request: which recurring units its prompt has, and so which task it belongs to.

Computed from the request alone by the same code at discovery and on the live path, so that a call finds the task that
its kind was filed under. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final

import msgspec

from deputize.core.contracts import text_of
from deputize.core.prompt_units import head_of, normalise, units
from deputize.core.records import BranchClassifier, KeySpace, Request
from deputize.core.signature import signature

MAX_USER_CHARS = 24_000
"""Limit of the user text that is read: three quarters from its start, one quarter from its end."""
MAX_SYSTEM_CHARS = 400_000
BRANCH_CHARS = 4_000
"""Limit of the user text that a branch classifier reads."""
_CACHED_PROMPTS = 128
"""System prompts whose units a matcher remembers."""
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")


class RecognisedUnits(msgspec.Struct, frozen=True):
    """The units of one text that a key space has, in order of first appearance, and the number of all others."""

    known: tuple[str, ...]
    n_unknown: int


class TemplateMatcher:
    """A key space made ready for many requests; remembers the system prompts it has read."""

    def __init__(self, keyspace: KeySpace) -> None:
        self._space = keyspace
        self._lines, self._heads = frozenset(keyspace.lines), frozenset(keyspace.heads)
        self._keyed = blake2b(digest_size=10, key=keyspace.signature.encode()[:64])
        self._cache: dict[str, RecognisedUnits] = {}

    def recognise(self, text: str) -> RecognisedUnits:
        """The known units of a text: verbatim, else normalised, else their head."""
        lines, heads = self._lines, self._heads
        known: dict[str, None] = {}
        n_unknown = 0
        for unit in units(text):
            if unit in lines:
                known[unit] = None
                continue
            normalised = normalise(unit)
            if normalised in lines:
                known[normalised] = None
            elif heads and (head := head_of(unit)) in heads:
                known[head] = None
            else:
                n_unknown += 1
        return RecognisedUnits(tuple(known), n_unknown)

    def recognise_opening(self, request: Request) -> tuple[RecognisedUnits, RecognisedUnits]:
        """The known units of the system text and of the user text of a request's opening."""
        system, user = opening(request)
        found = self._cache.get(system)
        if found is None:
            found = self.recognise(system)
            if len(self._cache) >= _CACHED_PROMPTS:
                self._cache.clear()
            self._cache[system] = found
        return found, self.recognise(user) if self._lines or self._heads else RecognisedUnits((), 0)

    def key(self, request: Request) -> str:
        """The template key of a request with the signature of the key space.

        '' where the system prompt has more unknown lines than allowed, or no branch leads by the margin it needs.
        """
        system, user = self.recognise_opening(request)
        key = self._digest(system.known, user.known)
        if system.n_unknown > self._space.max_unknown_lines.get(key, system.n_unknown):
            return ""
        classifier = self._space.branch_classifiers.get(key)
        if classifier is None:
            return key
        branch, lead = branch_of(classifier, opening(request)[1])
        return f"{key}~{branch}" if lead >= classifier.margin else ""

    def _digest(self, system: Sequence[str], user: Sequence[str]) -> str:
        text = "\x1e".join(("\x1f".join(system), "\x1f".join(user)))
        digest = self._keyed.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


class TemplateKeys:
    """The template keys of requests over the key spaces of a log or of a route file."""

    def __init__(self, keyspaces: Iterable[KeySpace]) -> None:
        self._matchers = {space.signature: TemplateMatcher(space) for space in keyspaces}

    def key(self, request: Request) -> str:
        """The template key of a request, '' where its signature is unknown or its prompt has changed."""
        matcher = self._matchers.get(signature(request))
        return matcher.key(request) if matcher is not None else ""


def opening(request: Request) -> tuple[str, str]:
    """(system text, user text) of the messages before the first reply: the part that stays the same over an episode."""
    system: list[str] = []
    user: list[str] = []
    for message in request.messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system.append(text_of(message))
        elif role == "user":
            user.append(text_of(message))
        else:
            break
    return "\n".join(system)[:MAX_SYSTEM_CHARS], _both_ends("\n".join(user))


def _both_ends(text: str) -> str:
    if len(text) <= MAX_USER_CHARS:
        return text
    tail = MAX_USER_CHARS // 4
    return f"{text[: MAX_USER_CHARS - tail]}\n{text[-tail:]}"


def branch_features(text: str) -> list[str]:
    """The features of a branch classifier: distinct words and pairs of neighbouring words; numbers are all one word."""
    words = ["0" if word.isdigit() else word for word in _WORD.findall(text[:BRANCH_CHARS].lower())]
    return list(dict.fromkeys((*words, *(f"{a} {b}" for a, b in pairwise(words)))))


def branch_of(classifier: BranchClassifier, text: str) -> tuple[str, float]:
    """The branch that a text belongs to and its lead over the second best (infinite where there is one branch)."""
    scores = list(classifier.bias)
    for feature in branch_features(text):
        weights = classifier.weights.get(feature)
        if weights is not None:
            for i, weight in enumerate(weights):
                scores[i] += weight
    best = max(range(len(scores)), key=scores.__getitem__)
    rest = (score for i, score in enumerate(scores) if i != best)
    return classifier.branches[best], scores[best] - max(rest, default=float("-inf"))
