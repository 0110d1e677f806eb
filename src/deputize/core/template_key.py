"""Template key of a request: which recurring segments its prompt has, and so which task it belongs to.

Computed from the request alone by the same code at discovery and on the live path, so that a call finds the task that
its kind was filed under. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

from deputize.core.contracts import text_of
from deputize.core.function_words import NEUTRAL_WORDS
from deputize.core.prompt_limits import RecognisedSegments, VaryingText, ends, within
from deputize.core.prompt_segments import MASK, known_head_of, normalise, segments
from deputize.core.records import (
    DEFAULT_TENANT,
    BranchClassifier,
    KeySpace,
    PromptLimits,
    Request,
)
from deputize.core.signature import OPEN, open_signature, signature

MAX_USER_CHARS = 24_000
"""Limit of the user text that is read: three quarters from its start, one quarter from its end."""
MAX_SYSTEM_CHARS = 400_000
BRANCH_CHARS = 4_000
"""Limit of the user text that a branch classifier reads."""
_FIRST_CHARS, _FIRST_SEGMENTS, _LONG_ENOUGH = 2_000, 8, 16
"""Of a request with an unknown signature: the part of the system prompt that is looked at, and characters of a line
that says whose prompt it is."""
_CACHED_PROMPTS = 128
"""System prompts whose segments a matcher remembers."""
_CACHED_OPENINGS = 64
"""User texts, by digest, whose template it remembers for each of them."""
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")


class TemplateMatch(NamedTuple):
    """The template of a request."""

    key: str
    """Its template key; '' where it has none."""
    is_changed: bool = False
    """True where it has lines of known prompts, but is not as they were."""
    closest: str = ""
    """The key that it would have but for the limits of what varies; '' where no limit refused it."""


class SystemText(NamedTuple):
    """A system prompt that a matcher has read before."""

    found: RecognisedSegments
    is_within: dict[str, bool]
    """Template key -> whether the text is within its limits."""
    matches: dict[bytes, TemplateMatch]
    """Digest of a user text that came with it -> their template: the steps of an episode share their opening."""
    digests: dict[tuple[str, ...], str]
    """Known segments of a user text that came with it -> the digest of both."""


class TemplateMatcher:
    """A key space made ready for many requests; remembers the system prompts it has read."""

    def __init__(self, keyspace: KeySpace) -> None:
        self._space = keyspace
        self._lines, self._heads = frozenset(keyspace.lines), frozenset(keyspace.heads)
        self._masked_starts = frozenset(line[0] for line in self._lines if MASK in line)
        self._keyed = blake2b(
            digest_size=10, key=keyspace.signature.encode()[:64], person=_mark_of(keyspace.tenant)
        )
        self._cache: dict[str, SystemText] = {}
        self._vocabularies: dict[str, frozenset[str]] = {}

    def recognise(self, text: str) -> RecognisedSegments:
        """The known segments of a text: verbatim, else normalised, else their head."""
        lines, heads = self._lines, self._heads
        places: dict[str, int] = {}
        n_repeats: list[int] = []
        n_unknown = [0]
        varying: list[VaryingText] = []
        place = 0  # of what comes next: after so many different known segments
        for segment in segments(text):
            known = segment if segment in lines else ""
            if not known:
                normalised = self._normalised(segment)
                if normalised in lines:
                    known = normalised
                elif not heads or not (known := known_head_of(segment, heads)):
                    n_unknown[place] += 1
                    varying.append(VaryingText(place, segment))
                    continue
            if known in places:
                place = places[known]
                n_repeats[place - 1] += 1
            else:
                place = places[known] = len(places) + 1
                n_repeats.append(1)
                n_unknown.append(0)
            if known in heads:
                varying.append(VaryingText(place, segment))
        return RecognisedSegments(tuple(places), tuple(n_repeats), tuple(n_unknown), ends(varying))

    def _normalised(self, segment: str) -> str:
        """The normalised segment where it may be a known line, else any text that is none."""
        if MASK[0] in self._masked_starts or segment[0] in self._masked_starts:
            return normalise(segment)
        # with a value masked it is no known line, so it need not be masked unless it is one as it stands; nothing is
        # folded where all white space is single blanks
        if "  " not in segment and segment.isprintable():
            return segment
        folded = " ".join(segment.split())
        return normalise(segment) if folded in self._lines else ""

    def recognise_opening(self, request: Request) -> tuple[RecognisedSegments, RecognisedSegments]:
        """The known segments of the system text and of the user text of a request's opening."""
        system, user = opening(request)
        return self._system(system).found, self.recognise(user)

    def _system(self, text: str) -> SystemText:
        cached = self._cache.get(text)
        if cached is None:
            if len(self._cache) >= _CACHED_PROMPTS:
                self._cache.clear()
            cached = self._cache[text] = SystemText(self.recognise(text), {}, {}, {})
        return cached

    def key(self, request: Request) -> str:
        """The template key of a request with the signature of the key space.

        '' where what varies in its prompt is beyond the limits of the key, or no branch leads by the margin it needs.
        """
        return self.match(request).key

    def match(self, request: Request) -> TemplateMatch:
        """The template key of a request, and whether its prompt is a known one that has changed."""
        system_text, user_text = opening(request)
        system = self._system(system_text)
        mark = blake2b(user_text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        found = system.matches.get(mark)
        if found is None:
            if len(system.matches) >= _CACHED_OPENINGS:
                system.matches.clear()
            found = system.matches[mark] = self._match(system, user_text)
        return found

    def _match(self, system: SystemText, user_text: str) -> TemplateMatch:
        user = self.recognise(user_text)
        key = system.digests.get(user.known)
        if key is None:
            if len(system.digests) >= _CACHED_OPENINGS:
                system.digests.clear()
            key = system.digests[user.known] = self._digest(system.found.known, user.known)
        limits = self._space.prompt_limits.get(key)
        if limits is not None and not self._is_within(limits, key, system, user):
            return TemplateMatch("", is_changed=True, closest=self._branch(key, user_text))
        if key not in self._space.branch_classifiers:
            # known lines, in a combination that no call had; with none of them it is the prompt of something else
            is_new = limits is None and bool(self._space.prompt_limits)
            return TemplateMatch(key, is_new and bool(system.found.known or user.known))
        return TemplateMatch(self._branch(key, user_text))

    def _branch(self, key: str, user_text: str) -> str:
        """The key with the branch of a text, where tasks share it; '' where none leads by the margin it needs."""
        classifier = self._space.branch_classifiers.get(key)
        if classifier is None:
            return key
        branch, lead = branch_of(classifier, user_text)
        return f"{key}~{branch}" if lead >= classifier.margin else ""

    def _is_within(
        self, limits: PromptLimits, key: str, system: SystemText, user: RecognisedSegments
    ) -> bool:
        vocabulary = self._vocabularies.get(key)
        if vocabulary is None:
            vocabulary = self._vocabularies[key] = frozenset(limits.vocabulary) | NEUTRAL_WORDS
        if not within(user, limits.user, vocabulary):
            return False
        known = system.is_within.get(key)
        if known is None:
            known = system.is_within[key] = within(system.found, limits.system, vocabulary)
        return known

    def _digest(self, system: Sequence[str], user: Sequence[str]) -> str:
        text = "\x1e".join(("\x1f".join(system), "\x1f".join(user)))
        digest = self._keyed.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _mark_of(tenant: str) -> bytes:
    """A salt for the template keys of a tenant, so that they differ from those of others."""
    if tenant == DEFAULT_TENANT:
        return b""
    return blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class TemplateKeys:
    """The template keys of requests over the key spaces of a log or of a route file."""

    def __init__(self, keyspaces: Iterable[KeySpace]) -> None:
        spaces = list(keyspaces)
        self._matchers = {space.signature: TemplateMatcher(space) for space in spaces}
        self._has_open = any(space.signature.startswith(OPEN) for space in spaces)
        self._lines = frozenset(line for space in spaces for line in space.lines if len(line) >= _LONG_ENOUGH)

    def key(self, request: Request) -> str:
        """The template key of a request, '' where its signature is unknown or its prompt has changed."""
        return self.match(request).key

    def match(self, request: Request) -> TemplateMatch:
        """The template key of a request, and whether its prompt, tools or reply format are known ones that have
        changed."""
        matcher = self._matchers.get(signature(request))
        if matcher is None and self._has_open:
            # a list of its own comes first: only then is it a request whose list differs from call to call
            matcher = self._matchers.get(open_signature(request))
        if matcher is not None:
            return matcher.match(request)
        first = segments(opening(request)[0][:_FIRST_CHARS])[:_FIRST_SEGMENTS] if self._lines else []
        return TemplateMatch("", not self._lines.isdisjoint(first))


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
