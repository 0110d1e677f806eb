"""Requests of a task that come again: the calls that a cache would answer, and how often it would be right."""

from __future__ import annotations

import re
from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from deputize.core.contracts import agree, answer_of, text_of
from deputize.core.prompt import calls_text
from deputize.core.records import Answer, Contract, Example, Request

_FOLDED = re.compile(r"[\W\d_]+")
_encode = msgspec.json.Encoder(order="sorted").encode


class RepeatedRequests(NamedTuple):
    """Calls whose request an earlier call of the task had, and those of them with the earlier call's answer."""

    n_exact: int = 0
    """The request is the same letter for letter."""
    n_exact_alike: int = 0
    n_near: int = 0
    """Only the same without case, numbers and punctuation."""
    n_near_alike: int = 0


MOST_CACHED = 10_000
"""Requests of a task that the cache holds; those that were not asked for longest make room. In memory a few hundred
bytes each."""


class RepeatCounter:
    """Counts the repeats among calls as they come by, as a cache that keeps the first answer; two digests of a request
    are kept.

    Calls are de-identified: surrogates differ from episode to episode, so repeats are missed rather than made up.
    """

    def __init__(self, contract: Contract) -> None:
        """
        Args:
            contract: of the task; answers are compared under it.
        """
        self._contract = contract
        self._exact = OrderedDict[bytes, Answer | None]()
        self._near = OrderedDict[bytes, Answer | None]()
        self.found = RepeatedRequests()
        """Of the calls so far."""

    def add(self, example: Example) -> None:
        """Counts a call."""
        answer = answer_of(example.response, self._contract)
        digest, near_digest = _digest(example.request), _near_digest(example.request)
        n_exact, n_exact_alike, n_near, n_near_alike = self.found
        if digest in self._exact:
            n_exact += 1
            n_exact_alike += agree(answer, self._exact[digest], self._contract)
        elif near_digest in self._near:
            n_near += 1
            n_near_alike += agree(answer, self._near[near_digest], self._contract)
        self.found = RepeatedRequests(n_exact, n_exact_alike, n_near, n_near_alike)
        for cache, key in ((self._exact, digest), (self._near, near_digest)):
            cache.setdefault(key, answer)
            cache.move_to_end(key)
            if len(cache) > MOST_CACHED:
                cache.popitem(last=False)


def _digest(request: Request) -> bytes:
    shown = (request.messages, request.tools, request.response_format, request.tool_choice)
    return blake2b(_encode(shown), digest_size=16).digest()


def _near_digest(request: Request) -> bytes:
    digest = blake2b(digest_size=16)
    for message in request.messages:
        text = f"{message.get('role')} {text_of(message)} {calls_text(message)}"
        digest.update(_FOLDED.sub(" ", text.casefold()).encode("utf-8", "surrogatepass") + b"\0")
    return digest.digest()
