"""Evidence of whom the plain texts of a site are for: what later happens to them, their grammar, and what was asked
for."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

from deputize.core.contracts import text_of
from deputize.core.records import Call, Message

TextUse: TypeAlias = Literal["used", "grammar", "transformation", "conversation", "unsure"]
"""Why the texts of a site count as read by code (the first three) or by a person; "unsure": nothing speaks clearly."""

MIN_SEEN = 3
"""So many replies, at least, must have been seen again later."""
MIN_SAME = 5
"""A grammar, or what prompts ask for, shows in no fewer replies than this."""
USED_SHARE, SAME_SHARE, ANSWERED_SHARE, ADDRESSED_SHARE = 0.5, 0.9, 0.2, 0.3
SPOKEN_SHARE = 0.8
"""Where neither tools nor the prompt point to a person, so many texts must speak to one: agents say "you" to each other
too."""
_PENDING = 8
"""Replies of an episode that later calls of it are compared with."""
_MAX_EPISODES = 20_000
_SHORTEST, _LONGEST_REPLY, _MOST_LINES = 12, 20_000, 40

_SQL = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|SHOW|DESC|DESCRIBE|PRAGMA)\b")
_CODE = re.compile(
    r"\s*(?:def |class \w+[(:]|import |from \w+ import |#!/|<\?|function |const |let |var |package |#include)"
)
_KEY = re.compile(r"[*#\s]*([A-Za-z][\w .\-/]{0,30}?)[*]*\s*[:=](?:\s|$)")
_ITEM = re.compile(r"(?:[-*•]|\d+[.)])\s")
_OPTION = re.compile(r"\(?[A-Z][.)]{1,2}(?:\s[^\n]{0,120})?")
_NUMBER = re.compile(r"[\d.,%$€£+\-\s]*\d[\d.,%$€£+\-\s]*")
_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">"}

# of texts in lower case: patterns that tell no cases apart cannot skip ahead, and took most of the time over a log
_ASKS = re.compile(
    r"\b(?:extract|rewrite|re-write|rephrase|paraphrase|reformulate|translate|convert|transform|normali[sz]e|classify"
    r"|categori[sz]e|annotate|parse|summari[sz]e|condense|shorten|decompose|deduplicate|rank|score|grade|rate each|correct the"
    r"|fill in|generate (?:\w+ ){0,3}(?:quer(?:y|ies)|keywords?|titles?|tags?|names?|code|sql)|write (?:\w+ ){0,3}(?:quer(?:y|ies)|sql)"
    r"|(?:output|return|respond|reply|answer|print)(?: with)? only|only (?:output|return|respond|reply|answer|print)"
    r"|nothing else|no (?:other|additional|extra) (?:text|words)|(?:do not|don't|without) (?:any )?expla(?:in|nations?)"
    r"|in the following (?:format|form)|output format)\b",
)
_FOR_PEOPLE = re.compile(
    r"chat ?bot|chat with|talk(?:ing)? (?:to|with)|speak(?:ing)? (?:to|with)|convers(?:e|ation) with|customer (?:service|support)"
    r"|help (?:the )?(?:users|customers|guests|people)|(?:reply|respond) to (?:the )?(?:user|customer|guest)|be (?:polite|friendly|warm)"
    r"|tutor|companion|greet",
)
_ADDRESSES = re.compile(
    r"\b(?:you|your|please let me know|feel free|hello|thank you|thanks for|i(?:'|’)?m sorry|happy to help|let me know)\b",
)


class TextEvidence:
    """The evidence about one reply in plain text."""

    __slots__ = ("addresses", "answered", "asks", "for_people", "grammar", "has_later", "used")

    def __init__(self, call: Call, text: str) -> None:
        self.grammar = grammar_of(text)
        """"" where none is known."""
        self.addresses = bool(_ADDRESSES.search(text[:_LONGEST_REPLY].lower()))
        """It speaks to somebody."""
        self.asks, self.for_people = _asked_for(call.messages)
        """A prompt asks for one text to be made out of another; it says that people read the reply."""
        self.has_later = False
        """Its episode goes on."""
        self.used = False
        """It occurs in a later request, or in what a tool was given."""
        self.answered = False
        """A later request has it as the assistant's words, and somebody's answer to it."""


class _EarlierReply(NamedTuple):
    evidence: TextEvidence
    text: str
    lines: list[str]
    """Lines of it that its own request did not hold."""


class LaterUse:
    """Looks whether replies occur in later calls of their episodes. Calls are given in their order."""

    def __init__(self) -> None:
        self._episodes: OrderedDict[str, list[_EarlierReply]] = OrderedDict()

    def add(self, call: Call, evidence: TextEvidence | None) -> None:
        """Compares a call with earlier replies of its episode, and keeps its own.

        Args:
            call: of any site.
            evidence: of its reply, where that is plain text.
        """
        if not call.episode:
            return
        pending = self._episodes.get(call.episode)
        if pending:
            self._compare(call, pending)
        if evidence is None:
            return
        text = text_of(call.response).strip()[:_LONGEST_REPLY]
        asked = _said_to_the_model(call.messages)
        lines = [line for line in _lines(text) if line not in asked]
        if pending is None:
            pending = self._episodes[call.episode] = []
            if len(self._episodes) > _MAX_EPISODES:
                self._episodes.popitem(last=False)
        pending.append(_EarlierReply(evidence, text, lines))
        del pending[:-_PENDING]

    def _compare(self, call: Call, pending: Sequence[_EarlierReply]) -> None:
        asked = _said_to_the_model(call.messages)
        given = " ".join(_arguments(call.response))
        answered = _answered_texts(call.messages)
        for one in pending:
            one.evidence.has_later = True
            if not one.evidence.used and one.lines:
                n_found = sum(line in asked or line in given for line in one.lines)
                one.evidence.used = n_found * 2 >= len(one.lines)
            one.evidence.answered = one.evidence.answered or one.text in answered


def use_of_texts(texts: Sequence[TextEvidence], *, has_tools: bool = False) -> tuple[TextUse, str]:
    """Judges whom the plain texts of one site are for, by all of its evidence, and says so in words without any text.

    Args:
        texts: its replies in plain text.
        has_tools: others of its replies are tool calls, so that a text ends what it does and is not a step of it.
    """
    n = len(texts)
    observed = [t for t in texts if t.has_later]
    n_used, n_answered = sum(t.used for t in texts), sum(t.answered for t in texts)
    if n_used >= max(MIN_SEEN, USED_SHARE * len(observed)):
        return "used", f"{n_used:,} of {len(observed):,} texts occur in a later request or a tool's arguments"
    ((grammar, n_same),) = Counter(t.grammar for t in texts).most_common(1) or (("", 0),)
    if grammar and n_same >= max(MIN_SAME, SAME_SHARE * n):
        return "grammar", f"{n_same:,} of {n:,} texts have the form of {grammar}"
    n_asked, n_addressing = sum(t.asks for t in texts), sum(t.addresses for t in texts)
    if n_answered >= max(MIN_SEEN, ANSWERED_SHARE * len(observed)) and n_answered:
        return "conversation", f"{n_answered:,} of {len(observed):,} texts were answered in a later turn"
    is_spoken = has_tools or sum(t.for_people for t in texts) * 2 > n or n_addressing >= SPOKEN_SHARE * n
    if is_spoken and n_addressing >= max(1, ADDRESSED_SHARE * n):
        return "conversation", f"{n_addressing:,} of {n:,} texts speak to somebody"
    if n >= MIN_SAME and not has_tools and n_asked >= SAME_SHARE * n and not n_answered:
        return (
            "transformation",
            f"{n_asked:,} of {n:,} prompts ask for a transformation, and no turn answers the texts",
        )
    return (
        "unsure",
        f"of {n:,} texts {n_asked:,} were asked for as a transformation, {n_addressing:,} speak to somebody, none is used later",
    )


def grammar_of(text: str) -> str:
    """The form of a whole text that a program could read, in words; "" where it has none that is known."""
    text = text.strip()
    if not text:
        return ""
    if _SQL.match(text):
        return "SQL"
    if _CODE.match(text) or _is_mostly_fenced(text):
        return "code"
    if _NUMBER.fullmatch(text):
        return "a number"
    lines = [line for line in text.splitlines()[:_MOST_LINES] if line.strip()]
    if _BRACKETS.get(text[0]) == text[-1] or any(
        _BRACKETS.get(line.strip()[0]) == text[-1] for line in lines[1:3]
    ):
        return "values in brackets"  # after a line or two of words, perhaps
    if _OPTION.fullmatch(text):
        return "one lettered option"
    keys = [match[1].strip().lower() for line in lines if (match := _KEY.match(line))]
    if (
        keys
        and _KEY.match(lines[0])
        and (len(lines) == 1 or len(keys) * 2 >= len(lines) or keys[0] in _STEPS)
    ):
        return (
            f"fields that begin with {keys[0]!r}"
            if len(keys[0]) <= 20 and keys[0] in _STEPS
            else "named fields"
        )
    if len(lines) > 1 and all(map(_ITEM.match, lines)):
        return "a list"
    for sign in ("|", "\t", ";"):
        counts = {line.count(sign) for line in lines}
        if len(counts) == 1 and min(counts) > 0:
            return "columns"
    return ""


_STEPS = frozenset(
    {
        "thought",
        "action",
        "observation",
        "plan",
        "query",
        "answer",
        "final answer",
        "label",
        "score",
        "reasoning",
    }
)
"""Names that agents' programs look for at the beginning of a reply."""


def _is_mostly_fenced(text: str) -> bool:
    parts = text.split("```")
    return len(parts) >= 3 and sum(map(len, parts[1::2])) * 2 >= len(text)


def _lines(text: str) -> list[str]:
    """Lines that are long enough to be told from chance."""
    lines = (line.strip() for line in text.splitlines()[:_MOST_LINES])
    return [line for line in lines if len(line) >= _SHORTEST]


def _said_to_the_model(messages: Sequence[Message]) -> str:
    """The texts of a request but for the model's own earlier words."""
    return "\n".join(text_of(m) for m in messages if m.get("role") != "assistant")


def _answered_texts(messages: Sequence[Message]) -> set[str]:
    """The model's earlier words that somebody answered in the conversation of a request."""
    return {
        text_of(said).strip()[:_LONGEST_REPLY]
        for said, answer in pairwise(messages)
        if said.get("role") == "assistant" and answer.get("role") == "user"
    }


def _arguments(message: Message) -> list[str]:
    """The arguments of tool calls, as text."""
    out: list[str] = []
    for call in message.get("tool_calls") or ():
        function: Any = (call.get("function") or call.get("custom")) if isinstance(call, dict) else None
        given = (function.get("arguments") or function.get("input")) if isinstance(function, dict) else None
        out.append(given if isinstance(given, str) else repr(given))
    return out


def _asked_for(messages: Sequence[Message]) -> tuple[bool, bool]:
    """Tells whether a prompt asks for one text to be made out of another and names nobody who would read it, and
    whether it names such people."""
    prompts = [text_of(m)[:4000] for m in messages if m.get("role") in ("system", "developer", "user")]
    found = [_marks(prompt) for prompt in prompts[:6]]
    for_people = any(people for _, people in found)
    return any(asks for asks, _ in found) and not for_people, for_people


@lru_cache(maxsize=4096)
def _marks(prompt: str) -> tuple[bool, bool]:
    """Tells of one prompt text whether it asks for a transformation, and whether it speaks of people who read the
    reply."""
    lower = prompt.lower()
    return bool(_ASKS.search(lower)), bool(_FOR_PEOPLE.search(lower))
