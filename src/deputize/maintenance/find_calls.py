"""Finds the calls that are one person's, or that speak of one: by origin, episode, conversation, or a text in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Call, Record
from deputize.privacy.call_texts import parse_json
from deputize.privacy.check_digits import digits_of
from deputize.privacy.detectors.deobfuscate import as_meant, may_be_disguised
from deputize.privacy.replace.replacer import occurrences_of_number, whole_word


class Wanted(Record, frozen=True):
    """The subject of an erasure or an export; calls that match any part of it are meant."""

    origin: str = ""
    """Pseudonym of a person."""
    episodes: tuple[str, ...] = ()
    conversation: str = ""
    """The id of one of its responses."""
    texts: tuple[str, ...] = ()
    """Texts that stand somewhere in a call, in whatever form `text_finder` knows."""


def check_wanted(wanted: Wanted) -> None:
    """Raises BadInput where nothing is wanted, or a part of it says nothing: an empty id is that of every call without
    one, and a text without a letter is found nowhere and would be said to have been looked for."""
    if wanted == Wanted():
        raise BadInput("Say what is meant: an origin, an episode, a conversation or a text.")
    ids = [*wanted.episodes, *(one for one in (wanted.origin, wanted.conversation) if one)]
    if not all(map(_folded, (*ids, *wanted.texts))):
        raise BadInput("An id or a text says nothing: it has no letter, digit or sign in it.")


class FoundCalls(NamedTuple):
    """The calls that were found, and what they belong to."""

    call_ids: set[str]
    episodes: set[str]
    """Those that were asked for, and those of the person."""
    response_ids: set[str]
    n_looked_at: int


_WITH_TEXT = (
    "messages",
    "response",
    "shadow_response",
    "correction",
    "episode",
    "group",
    "agent",
    "site",
    "model",
    "tools",
    "response_format",
    "tool_choice",
    "params",
    "outcome",
    "logprobs",
)
"""Fields of a call in which somebody may be mentioned; the others, and the names of all of them, are ours."""


class _Facts(NamedTuple):
    id: str
    origin: str
    episode: str
    response_id: str
    earlier: str
    has_text: bool


def find_calls(calls: Iterable[Call], wanted: Wanted) -> FoundCalls:
    """The calls of one tenant that are meant; read once, as a stream.

    Of a person: the calls under the origin, and those of the same episodes that name nobody. Of all that is found also
    the calls that continue it (`previous_response_id`), for they repeat what was said before.
    """
    has_text = text_finder(wanted.texts)
    facts = [
        _Facts(
            id=call.id,
            origin=call.origin,
            episode=call.episode,
            response_id=call.response_id,
            earlier=str(call.params.get("previous_response_id") or ""),
            has_text=has_text([msgspec.to_builtins(getattr(call, name)) for name in _WITH_TEXT]),
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
    responses = {f.response_id for f in facts if f.id in found} - {""} | conversation
    found |= going_on_from([(f.id, f.response_id, f.earlier) for f in facts], responses)
    responses |= {f.response_id for f in facts if f.id in found} - {""}
    return FoundCalls(found, episodes, responses, len(facts))


def going_on_from(calls: Sequence[tuple[str, str, str]], response_ids: Set[str]) -> set[str]:
    """Ids of the calls that go on from one of these responses, at once or later: each repeats what was said before.

    Args:
        calls: (id, its response id, the response id that it goes on from) of each; "": none.
        response_ids: none of them "".
    """
    heard, found = set(response_ids), set[str]()
    while later := {id: response for id, response, earlier in calls if id not in found and earlier in heard}:
        found |= later.keys()
        heard |= set(later.values()) - {""}
    return found


def text_finder(texts: Iterable[str]) -> Callable[[Any], bool]:
    """A function that tells whether one of the texts occurs in some string of plain JSON values.

    A text is found as whole words (of "Ann" nothing is in "announced"), in whatever case, width and blanks, and where a
    disguise that the detectors know hides it: invisible characters, entities, escapes, percent signs. A number is found
    with and without separators.
    """
    folded = [one for one in map(_folded, texts) if one]
    numbers = [digits_of(one) for one in folded if _NUMBER.fullmatch(one)]
    pattern = re.compile("|".join(map(whole_word, folded)))

    def occurs(string: str) -> bool:
        return any(
            pattern.search(form) or any(occurrences_of_number(form, one) for one in numbers)
            for form in _forms(string)
        )

    def has_text(value: Any) -> bool:
        return bool(folded) and any(map(occurs, _strings(value)))

    return has_text


_NUMBER = re.compile(r"(?=(?:\D*\d){7})[\d +()./-]+")
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]")
"""Signs of vowels that Hebrew and Arabic are written with or without, and the stroke that stretches an Arabic word."""
_DOTS = str.maketrans({"ı": "i", "\u0307": None})
"""The capital of a Turkish i has a dot, and that of ı has none: no folding of case knows which language a name is
in."""


def _folded(text: str) -> str:
    plain = as_meant(text) if may_be_disguised(text) else text
    plain = unicodedata.normalize("NFKC", plain).casefold().translate(_DOTS)
    return " ".join(_POINTS.sub("", unicodedata.normalize("NFKC", plain)).split())


def _forms(text: str) -> Iterator[str]:
    """A text as it is compared, and what its percent-encoded parts say."""
    yield _folded(text)
    if "%" in text:
        yield _folded(unquote_plus(text))


def _strings(value: Any) -> Iterator[str]:
    """Every string in plain values, keys too; JSON inside a string, such as the arguments of a tool call, is looked
    into.

    Without recursion: whoever sends a text decides how deep it is nested, and nobody may end a search by that.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
            waiting.append(parse_json(one))
        elif isinstance(one, dict):
            yield from map(str, one)
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif type(one) is int:
            yield str(one)
