"""The pruned prompt a specialist reads: what is constant in its task is left out, values stay as written.

Computed from the request alone by the same code in training and on the live path. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

import msgspec

from deputize.core.contracts import fold, text_of
from deputize.core.listed_tools import with_list
from deputize.core.prompt_segments import MASK, line_segments, normalise
from deputize.core.records import Message, PromptRecipe, Request

_CACHED_PROMPTS = 128
"""System prompts whose pruned text is remembered, for each recipe."""
_SPACE: Final = re.compile(r"\s+")

_json = msgspec.json.Encoder(order="sorted")


def prune(request: Request, recipe: PromptRecipe) -> str:
    """The short prompt a specialist reads: what is constant in its task is left out, values stay as written.

    slots: the segments of all messages that vary, one line each. dialogue: a digest of an agent's run so far (first
    request, identifiers seen, names of the actions, then last call, result, agent text and user text in their order).
    At most `recipe.max_chars` characters; what is too long loses its middle. The opening line and the list of tools
    come on top of that.
    """
    text = _pruner(recipe.mode, tuple(recipe.constant_lines), recipe.max_chars)(request)
    text = with_list(text, request) if recipe.with_list else text
    return f"{recipe.opening}\n{text}" if recipe.opening else text


@lru_cache(maxsize=256)
def _pruner(mode: str, constant: tuple[str, ...], max_chars: int) -> Callable[[Request], str]:
    remover = _ConstantRemover(frozenset(constant))
    if mode == "dialogue":
        return lambda request: _dialogue(request.messages, remover, max_chars)
    return lambda request: _slots(request.messages, remover, max_chars)


class _ConstantRemover:
    """Leaves the constant segments out of texts; remembers system prompts, which come again and again."""

    def __init__(self, constant: frozenset[str]) -> None:
        self._constant = constant
        # a line with a masked value is constant whatever the value; a verbatim one only as it stands
        self._masked = frozenset(segment for segment in constant if MASK in segment)
        self._cache: dict[str, str] = {}

    def message(self, message: Message) -> str:
        """The varying part of the text and the tool calls of a message."""
        text = _content(message)
        if message.get("role") not in ("system", "developer"):
            return self.text(text)
        kept = self._cache.get(text)
        if kept is None:
            kept = self.text(text)
            if len(self._cache) >= _CACHED_PROMPTS:
                self._cache.clear()
            self._cache[text] = kept
        return kept

    def text(self, text: str) -> str:
        """The varying part of a text, line by line."""
        kept: list[str] = []
        for line in text.splitlines():
            if parts := [
                segment for segment in line_segments(line.strip()) if not self._is_constant(segment)
            ]:
                kept.append(" ".join(parts))
        return "\n".join(kept)

    def _is_constant(self, segment: str) -> bool:
        return segment in self._constant or (bool(self._masked) and normalise(segment) in self._masked)


def clip(text: str, max_chars: int, gap: str = " … ") -> str:
    """A text of at most max_chars characters: what is too long loses its middle."""
    if len(text) <= max_chars:
        return text
    room = max_chars - len(gap)
    if room < 2:
        return text[:max_chars]
    tail = room * 2 // 5
    return text[: room - tail].rstrip() + gap + text[len(text) - tail :].lstrip()


def _slots(messages: Sequence[Message], remover: _ConstantRemover, max_chars: int) -> str:
    return clip("\n".join(text for text in map(remover.message, messages) if text), max_chars)


def _content(message: Message) -> str:
    text = text_of(message)
    called = calls_text(message)
    return f"{text}\n{called}" if text and called else text or called


def calls_text(message: Message, max_chars: int = 100_000) -> str:
    """The tool calls of a message as `name {arguments}`, joined by '; '."""
    out: list[str] = []
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = function.get("arguments")
            text = arguments if isinstance(arguments, str) else _json.encode(arguments or {}).decode()
            out.append(f"{function.get('name', '')} {_compact(text)}".strip())
    return clip("; ".join(out), max_chars)


_COMPACT_LIMIT = 20_000


def _compact(text: str) -> str:
    """JSON without white space between its parts, any other text with its white space folded."""
    text = text.strip()
    if text[:1] in ("{", "[") and len(text) <= _COMPACT_LIMIT:
        try:
            return msgspec.json.encode(msgspec.json.decode(text)).decode()
        except (msgspec.DecodeError, RecursionError):
            pass
    return _SPACE.sub(" ", text)


_SIMPLE: Final = re.compile(r'"([\w@.+ :/-]*)"')


def _without_quotes(text: str) -> str:
    """Compact JSON without the quotes around simple names and values: a third fewer tokens, the same content."""
    return _SIMPLE.sub(r"\1", text) if text[:1] in ("{", "[") else text


def _counted_runs(names: Sequence[str]) -> str:
    """Names joined by ', ', neighbours that repeat counted: `look, look, pay` is `look x2, pay`."""
    runs = ((name, sum(1 for _ in group)) for name, group in groupby(names))
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in runs)


def _called_tools(message: Message) -> list[str]:
    functions = (c.get("function") for c in message.get("tool_calls") or () if isinstance(c, dict))
    return [str(f.get("name", "")) for f in functions if isinstance(f, dict)]


# shares of the digest's characters: the next action depends most on the last events, so they get most of it
_SHARES = {
    "note": 0.08,
    "ask": 0.20,
    "ids": 0.12,
    "did": 0.10,
    "call": 0.12,
    "agent": 0.12,
    "user": 0.16,
    "result": 0.24,
}


def _fit(parts: dict[str, str], max_chars: int) -> dict[str, str]:
    """Parts clipped to their shares of max_chars; what short parts do not use goes to the long ones."""
    room = max_chars - sum(len(name) + 3 for name in parts)
    long_parts = dict(parts)
    while long_parts:
        unit = max(0, room) / sum(_SHARES[name] for name in long_parts)
        short = [name for name, text in long_parts.items() if len(text) <= unit * _SHARES[name]]
        if not short:
            break
        for name in short:
            room -= len(long_parts.pop(name))
    unit = max(0, room) / sum(_SHARES[name] for name in long_parts) if long_parts else 0.0
    limits = {name: int(unit * _SHARES[name]) for name in long_parts}
    # of a list of actions the latest matter most
    return {
        name: text if name not in limits else (_clip_start if name == "did" else clip)(text, limits[name])
        for name, text in parts.items()
    }


def _dialogue(messages: Sequence[Message], remover: _ConstantRemover, max_chars: int) -> str:
    """The digest of an agent's run: one line `name: text` for each part that is there, clipped to fit."""
    parts = _digest_parts(messages, remover)
    room_for_ids = int(_SHARES["ids"] * max_chars)
    shown = _fit({name: text for name, text in parts.items() if text}, max_chars - room_for_ids)
    if parts["did"]:
        parts["ids"] = _identifiers(messages, " ".join(shown.values()), room_for_ids)
    lines = [f"{name}: {shown.get(name, text)}" for name, text in parts.items() if text]
    return clip("\n".join(lines), max_chars)


def _digest_parts(messages: Sequence[Message], remover: _ConstantRemover) -> dict[str, str]:
    """The parts of the digest in their order, '' for those that are not there; `ids` is left to the caller."""
    notes: list[str] = []
    ask = ""
    tools: list[str] = []
    last: dict[str, tuple[int, str]] = {}
    results: list[Message] = []
    for i, message in enumerate(messages):
        role = message.get("role")
        if role in ("system", "developer"):
            if varying := remover.message(message):
                notes.append(varying)
        elif role == "user":
            text = remover.message(message)
            if not ask:
                ask = text
            elif text:
                last["user"] = (i, text)
        elif role == "assistant":
            if text := text_of(message):
                last["agent"] = (i, remover.text(text))
            if names := _called_tools(message):
                tools.extend(names)
                last["call"] = (i, calls_text(message))
                last.pop("result", None)
        elif role in ("tool", "function"):
            results = [*results, message] if "result" in last else [message]
            last["result"] = (i, "")
    if "result" in last:
        text = " | ".join(_without_quotes(_compact(text_of(message))) for message in results)
        last["result"] = (last["result"][0], text)
    recent = sorted(last.items(), key=lambda item: item[1][0])
    parts = {"note": fold(" ".join(notes)), "ask": fold(ask), "ids": "", "did": _counted_runs(tools)}
    return {**parts, **{name: fold(text) for name, (_, text) in recent}}


def _clip_start(text: str, max_chars: int) -> str:
    """The last max_chars characters of a text."""
    return text if len(text) <= max_chars else ("… " + text[len(text) - max_chars + 2 :])[:max_chars]


_IDENTIFIER: Final = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]*\w"
    r"|(?<![\w-])(?!\d{4}-\d\d-\d\dT)(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[A-Za-z0-9][\w-]{3,39}\b(?![\"']\s*:)"
)
_IDENTIFIER_SOURCE = 4_000


@lru_cache(maxsize=4096)
def _identifiers_in(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_IDENTIFIER.findall(text)))


def _identifiers(messages: Sequence[Message], seen: str, max_chars: int) -> str:
    """Words with digits (orders, users, payments) and addresses that are not to be seen elsewhere.

    What the user or an earlier call named comes first, then what results brought; the latest first in both.
    """
    named: list[str] = []
    brought: list[str] = []
    for message in reversed(messages):
        role = message.get("role")
        if role in ("user", "assistant"):
            text = calls_text(message) if role == "assistant" else text_of(message)
            named.extend(_identifiers_in(text[:_IDENTIFIER_SOURCE]))
        elif role in ("tool", "function"):
            brought.extend(_identifiers_in(text_of(message)[:_IDENTIFIER_SOURCE]))
    found: dict[str, None] = {}
    n = 0
    for token in (*named, *brought):
        if token not in found and token not in seen:
            n += len(token) + 1
            if n > max_chars:
                break
            found[token] = None
    return " ".join(found)
