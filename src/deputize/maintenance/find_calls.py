"""Finds the calls that are one person's, or that speak of one: by origin, episode, conversation, or a text in them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from deputize.core.records import Call, Record


class Wanted(Record, frozen=True):
    """The subject of an erasure or an export; calls that match any part of it are meant."""

    origin: str = ""
    """Pseudonym of a person."""
    episodes: tuple[str, ...] = ()
    conversation: str = ""
    """The id of one of its responses."""
    texts: tuple[str, ...] = ()
    """Texts that stand somewhere in a call, whatever their case, width and blanks."""


class FoundCalls(NamedTuple):
    """The calls that were found, and what they belong to."""

    call_ids: set[str]
    episodes: set[str]
    """Those that were asked for, and those of the person."""
    response_ids: set[str]
    n_looked_at: int


class _Facts(NamedTuple):
    id: str
    origin: str
    episode: str
    response_id: str
    earlier: str
    has_text: bool


def find_calls(calls: Iterable[Call], wanted: Wanted) -> FoundCalls:
    """The calls of one tenant that are meant; read once, as a stream.

    Of a person: the calls under the origin, and those of the same episodes that name nobody. Of all that is found also the calls
    that continue it (`previous_response_id`), for they repeat what was said before.
    """
    has_text = text_finder(wanted.texts)
    facts = [
        _Facts(
            id=call.id,
            origin=call.origin,
            episode=call.episode,
            response_id=call.response_id,
            earlier=str(call.params.get("previous_response_id") or ""),
            has_text=has_text(msgspec.to_builtins(call)),
        )
        for call in calls
    ]
    own = {f.episode for f in facts if wanted.origin and f.origin == wanted.origin} - {""}
    episodes = own | set(wanted.episodes)
    conversation = {wanted.conversation} - {""}
    found = {
        f.id
        for f in facts
        if f.has_text
        or (wanted.origin and f.origin == wanted.origin)
        or (f.episode in own and not f.origin)
        or f.episode in wanted.episodes
        or f.response_id in conversation
        or f.earlier in conversation
    }
    while True:
        responses = {f.response_id for f in facts if f.id in found} - {""} | conversation
        later = {f.id for f in facts if f.earlier in responses} - found
        if not later:
            return FoundCalls(found, episodes, responses, len(facts))
        found |= later


def text_finder(texts: Iterable[str]) -> Callable[[Any], bool]:
    """A function that tells whether one of the texts occurs in some string of plain JSON values."""
    folded = [one for one in map(_folded, texts) if one]

    def has_text(value: Any) -> bool:
        return bool(folded) and any(
            one in string for string in map(_folded, _strings(value)) for one in folded
        )

    return has_text


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _strings(value: Any) -> Iterator[str]:
    """Every string in plain values, keys too; JSON inside a string, such as the arguments of a tool call, is looked into."""
    if isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from _strings(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
