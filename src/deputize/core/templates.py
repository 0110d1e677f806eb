"""What of a request is fixed and what varies: its structural signature, its template key, and the short prompt.

Everything here is computed from the request alone, never from the answer, by the same code at discovery, in training
and on the live path; so a call finds the task that its kind was filed under. Pure: no I/O, no state but memos.

A *unit* is a line of a prompt, or a sentence of a long line. A unit is looked up as it stands and then normalised
(numbers, quoted strings and ids masked); a `Label:` head stands for a line of which only the value varies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby, pairwise
from typing import Any, Final

import msgspec

from deputize.core.contracts import text_of
from deputize.core.records import BranchClassifier, KeySpace, Message, PromptRecipe, Request

LONG_LINE = 160
"""Characters from which a line is cut into sentences, so that a slot inside a paragraph does not hide the rest."""
MAX_USER_CHARS = 24_000
"""What the matcher reads of the user's messages: three quarters from their start, one quarter from their end."""
MAX_SYSTEM_CHARS = 400_000
_MEMO_ENTRIES = 128
_MEMO_BYTES = 256 * 1024
"""Of one entry."""

_VARYING: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r'|"[^"\n]*"|“[^”\n]*”|`[^`\n]*`'
    r"|(?<!\w)'[^'\n]*'(?!\w)"
    r"|(?<![A-Za-z0-9_-])[A-Za-z_-]*\d[\w-]*(?:[.,:/]\d+)*"
)
_MAY_VARY: Final = re.compile(r"[\d\"“`'-]")
"""A character without which nothing of `_VARYING` can match; most units hold none, and looking for one is quick."""
_SENTENCE: Final = re.compile(r"(?<=[.!?:;])\s+")
_HEAD: Final = re.compile(
    r"\W{0,4}(\w[^:=\n{}\[\]<>]{0,47}?)[\"'*_]{0,3}\s?(?::(?!//)|=)[*_]{0,2}(?:\s+|$|(?=[\"'\[{\d]))"
)
_SPACE: Final = re.compile(r"\s+")
_MAX_HEAD_WORDS = 5
_MEDIA: Final = frozenset({"text", "input_text", "output_text"})

_json = msgspec.json.Encoder(order="sorted")
_as_it_stands = msgspec.json.Encoder()


# ---------------------------------------------------------------- units


def normalise(unit: str) -> str:
    """A unit with what typically varies masked (numbers, words with digits, quoted strings, uuids), spaces folded."""
    if _MAY_VARY.search(unit) is not None:
        unit = _VARYING.sub("⟨⟩", unit)
    return " ".join(unit.split())


def units(text: str) -> list[str]:
    """The non-empty units of a text in order, ends trimmed: its lines, long lines cut into sentences."""
    out: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        if not line:
            continue
        if len(line) > LONG_LINE:
            out.extend(part for part in _SENTENCE.split(line) if part)
        else:
            out.append(line)
    return out


def head_of(unit: str) -> str:
    """The `Label:` that a unit starts with (without marks around it), '' where there is none."""
    found = _HEAD.match(unit)
    if found is None:
        return ""
    label = found.group(1).strip()
    return f"{label}:" if len(label.split()) <= _MAX_HEAD_WORDS else ""


# ---------------------------------------------------------------- signature


def signature(request: Request) -> str:
    """The structural signature: a hash of tools with their schemas, reply format, tool choice and pattern of roles.

    Two requests with one signature may still be two tasks; two with different signatures never share a template
    key. The order of tools and of JSON keys does not matter; any change of a schema or a description does.
    """
    if request.tools:
        digest = _tools_digest(request.tools)
        digest.update(_json.encode(_choice(request.tool_choice)))
    else:
        digest = blake2b(digest_size=12)
    form = request.response_format
    if form and form.get("type") != "text":
        digest.update(b"|format")
        digest.update(_json.encode(form))
    digest.update(_shape(request).encode())
    return digest.hexdigest()


_tools_read: dict[bytes, blake2b] = {}


def _tools_digest(tools: Sequence[dict[str, Any]]) -> blake2b:
    """The state of a signature once the tools are in it. Known tools are told by their bytes: sorting takes ten times
    as long, and an agent shows the same ones at every call."""
    written = _as_it_stands.encode(tools)
    known = _tools_read.get(written)
    if known is None:
        known = blake2b(digest_size=12)
        for tool in sorted(map(_json.encode, tools)):
            known.update(tool)
        if len(_tools_read) >= _MEMO_ENTRIES:
            _tools_read.clear()
        if len(written) <= _MEMO_BYTES:
            _tools_read[written] = known
    return known.copy()


def _choice(choice: Any) -> Any:
    return "auto" if choice is None else choice


def _shape(request: Request) -> str:
    """Has a system prompt or not; with tools, one turn, or several; whether any part is not text."""
    has_system = several = media = False
    last = ""
    for message in request.messages:
        last = str(message.get("role"))
        if last in ("system", "developer"):
            has_system = True
        elif last in ("assistant", "tool", "function"):
            several = True
        content = message.get("content")
        if isinstance(content, list):
            media = media or any(isinstance(p, dict) and p.get("type", "text") not in _MEDIA for p in content)
    turns = "agent" if request.tools else ("turns" if several else "single")
    return f"|{has_system:d}|{turns}|{'prefilled' if last == 'assistant' else ''}|{'media' if media else ''}"


def has_media(request: Request) -> bool:
    """Whether some part of some message is not text (an image, audio, a file)."""
    return _shape(request).endswith("media")


# ---------------------------------------------------------------- template key


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
    return "\n".join(system)[:MAX_SYSTEM_CHARS], _ends("\n".join(user))


def _ends(text: str) -> str:
    if len(text) <= MAX_USER_CHARS:
        return text
    tail = MAX_USER_CHARS // 4
    return f"{text[: MAX_USER_CHARS - tail]}\n{text[-tail:]}"


class Marks(msgspec.Struct, frozen=True):
    """What is recognised in one text: the known units in order of first appearance, and how many were not known."""

    known: tuple[str, ...]
    n_new: int


class TemplateKeyReader:
    """A key space made ready for many requests; remembers the system prompts it has read."""

    def __init__(self, keyspace: KeySpace) -> None:
        self._space = keyspace
        self._lines, self._heads = frozenset(keyspace.lines), frozenset(keyspace.heads)
        self._keyed = blake2b(digest_size=10, key=keyspace.signature.encode()[:64])
        self._memo: dict[str, Marks] = {}

    def read(self, text: str) -> Marks:
        """The known units of a text: verbatim, else normalised, else their head."""
        lines, heads = self._lines, self._heads
        known: dict[str, None] = {}
        n_new = 0
        for unit in units(text):
            if unit in lines:
                known[unit] = None
                continue
            mask = normalise(unit)
            if mask in lines:
                known[mask] = None
            elif heads and (head := head_of(unit)) in heads:
                known[head] = None
            else:
                n_new += 1
        return Marks(tuple(known), n_new)

    def marks(self, request: Request) -> tuple[Marks, Marks]:
        """What is recognised in the system text and in the user text of the opening."""
        system, user = opening(request)
        found = self._memo.get(system)
        if found is None:
            found = self.read(system)
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[system] = found
        return found, self.read(user) if self._lines or self._heads else Marks((), 0)

    def key(self, request: Request) -> str:
        """The template key; '' where the system prompt holds more unknown lines than it may, or no branch leads."""
        system, user = self.marks(request)
        key = self.key_of(system.known, user.known)
        if system.n_new > self._space.max_new_lines.get(key, system.n_new):
            return ""
        fork = self._space.forks.get(key)
        if fork is None:
            return key
        branch, lead = branch_of(fork, opening(request)[1])
        return f"{key}~{branch}" if lead >= fork.margin else ""

    def key_of(self, system: Sequence[str], user: Sequence[str]) -> str:
        """The key of the known units of the system text and of the user text, before any fork."""
        text = "\x1e".join(("\x1f".join(system), "\x1f".join(user)))
        digest = self._keyed.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
FORK_CHARS = 4_000
"""How much of the user's opening a fork reads."""


def fork_words(text: str) -> list[str]:
    """The distinct words, and pairs of neighbouring words, that a fork weighs; numbers are all one word."""
    words = ["0" if word.isdigit() else word for word in _WORD.findall(text[:FORK_CHARS].lower())]
    return list(dict.fromkeys((*words, *(f"{a} {b}" for a, b in pairwise(words)))))


def branch_of(fork: BranchClassifier, text: str) -> tuple[str, float]:
    """The branch that a text belongs to and its lead over the second best (infinite where there is one branch)."""
    scores = list(fork.bias)
    for word in fork_words(text):
        weights = fork.weights.get(word)
        if weights is not None:
            for i, weight in enumerate(weights):
                scores[i] += weight
    best = max(range(len(scores)), key=scores.__getitem__)
    rest = (score for i, score in enumerate(scores) if i != best)
    return fork.branches[best], scores[best] - max(rest, default=float("-inf"))


_readers: dict[int, tuple[KeySpace, TemplateKeyReader]] = {}


def reader(keyspace: KeySpace) -> TemplateKeyReader:
    """The reader of a key space; those of the last few key spaces are kept (records are frozen, so by identity)."""
    known = _readers.get(id(keyspace))
    if known is not None and known[0] is keyspace:
        return known[1]
    if len(_readers) >= 64:
        _readers.clear()
    made = TemplateKeyReader(keyspace)
    _readers[id(keyspace)] = (keyspace, made)
    return made


def template_key(request: Request, keyspace: KeySpace) -> str:
    """The key of a request within the key space of its signature: which recurring units are there, in their order.

    '' where the request cannot belong to the key space: its system prompt has lines that were never there.
    The caller has seen to it that `signature(request) == keyspace.signature`.
    """
    return reader(keyspace).key(request)


# ---------------------------------------------------------------- the short prompt


def prune(request: Request, recipe: PromptRecipe) -> str:
    """The short prompt a specialist reads: what is constant in its task is left out, values stay as written.

    slots: the units of all messages that vary, one line each. dialogue: a digest of an agent's run so far (first
    request, identifiers seen, names of the actions, then last call, result, agent text and user text in their order).
    At most `recipe.max_chars` characters; what is too long loses its middle.
    """
    return _pruner(recipe.mode, tuple(recipe.constant_lines), recipe.max_chars)(request)


@lru_cache(maxsize=256)
def _pruner(mode: str, constant: tuple[str, ...], max_chars: int) -> Callable[[Request], str]:
    keep = _Varying(frozenset(constant))
    if mode == "dialogue":
        return lambda request: _dialogue(request.messages, keep, max_chars)
    return lambda request: _slots(request.messages, keep, max_chars)


class _Varying:
    """Leaves the constant units out of a text; remembers system prompts, which come again and again."""

    def __init__(self, constant: frozenset[str]) -> None:
        self._constant = constant
        # a line with a masked value is constant whatever the value; a verbatim one only as it stands
        self._masked = frozenset(unit for unit in constant if "⟨⟩" in unit)
        self._memo: dict[str, str] = {}

    def __call__(self, message: Message) -> str:
        text = _content(message)
        if message.get("role") not in ("system", "developer"):
            return self.of(text)
        known = self._memo.get(text)
        if known is None:
            known = self.of(text)
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[text] = known
        return known

    def of(self, text: str) -> str:
        kept: list[str] = []
        for line in text.splitlines():
            line = line.strip()
            if len(line) <= LONG_LINE:
                if line and not self._fixed(line):
                    kept.append(line)
            elif parts := [part for part in _SENTENCE.split(line) if part and not self._fixed(part)]:
                kept.append(" ".join(parts))
        return "\n".join(kept)

    def _fixed(self, unit: str) -> bool:
        return unit in self._constant or (bool(self._masked) and normalise(unit) in self._masked)


def clip(text: str, max_chars: int, gap: str = " … ") -> str:
    """A text of at most max_chars characters: what is too long loses its middle."""
    if len(text) <= max_chars:
        return text
    room = max_chars - len(gap)
    if room < 2:
        return text[:max_chars]
    tail = room * 2 // 5
    return text[: room - tail].rstrip() + gap + text[len(text) - tail :].lstrip()


def _slots(messages: Sequence[Message], keep: _Varying, max_chars: int) -> str:
    return clip("\n".join(text for text in map(keep, messages) if text), max_chars)


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


def _bare(text: str) -> str:
    """Compact JSON without the quotes around simple names and values: a third fewer tokens, nothing lost to a reader."""
    return _SIMPLE.sub(r"\1", text) if text[:1] in ("{", "[") else text


def _runs(names: Sequence[str]) -> str:
    """Names joined by ', ', neighbours that repeat counted: `look, look, pay` is `look x2, pay`."""
    runs = ((name, sum(1 for _ in group)) for name, group in groupby(names))
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in runs)


def _names(message: Message) -> list[str]:
    functions = (c.get("function") for c in message.get("tool_calls") or () if isinstance(c, dict))
    return [str(f.get("name", "")) for f in functions if isinstance(f, dict)]


# shares of the digest's room: the last events are what the next action hangs on, so they get most of it
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
    """Parts clipped to their shares of the room; what short parts leave is shared out among the long ones."""
    room = max_chars - sum(len(name) + 3 for name in parts)
    open_parts = dict(parts)
    while open_parts:
        unit = max(0, room) / sum(_SHARES[name] for name in open_parts)
        short = [name for name, text in open_parts.items() if len(text) <= unit * _SHARES[name]]
        if not short:
            break
        for name in short:
            room -= len(open_parts.pop(name))
    unit = max(0, room) / sum(_SHARES[name] for name in open_parts) if open_parts else 0.0
    cut = {name: int(unit * _SHARES[name]) for name in open_parts}
    # of a list of actions the latest matter most
    return {
        name: text if name not in cut else (_clip_start if name == "did" else clip)(text, cut[name])
        for name, text in parts.items()
    }


def _dialogue(messages: Sequence[Message], keep: _Varying, max_chars: int) -> str:
    note: list[str] = []
    ask = ""
    did: list[str] = []
    last: dict[str, tuple[int, str]] = {}
    results: list[Message] = []
    for i, message in enumerate(messages):
        role = message.get("role")
        if role in ("system", "developer"):
            if varying := keep(message):
                note.append(varying)
        elif role == "user":
            text = keep(message)
            if not ask:
                ask = text
            elif text:
                last["user"] = (i, text)
        elif role == "assistant":
            if text := text_of(message):
                last["agent"] = (i, keep.of(text))
            if names := _names(message):
                did.extend(names)
                last["call"] = (i, calls_text(message))
                last.pop("result", None)
        elif role in ("tool", "function"):
            results = [*results, message] if "result" in last else [message]
            last["result"] = (i, "")
    if "result" in last:
        text = " | ".join(_bare(_compact(text_of(message))) for message in results)
        last["result"] = (last["result"][0], text)
    recent = sorted(last.items(), key=lambda item: item[1][0])
    parts = {"note": _fold(" ".join(note)), "ask": _fold(ask), "ids": "", "did": _runs(did)}
    parts.update({name: _fold(text) for name, (_, text) in recent})
    whole = {name: text for name, text in parts.items() if text}
    shown = _fit(whole, max_chars - int(_SHARES["ids"] * max_chars))
    found = _identifiers(messages, " ".join(shown.values()), int(_SHARES["ids"] * max_chars)) if did else ""
    parts["ids"] = found
    lines = [f"{name}: {shown.get(name, found)}" for name in parts if parts[name]]
    return clip("\n".join(lines), max_chars)


def _fold(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


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
