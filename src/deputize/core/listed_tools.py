"""The tools, or the reply schema, that a request itself lists, where these differ from call to call.

A specialist for such calls reads them as one more slot of its prompt: one line of JSON, the last of the prompt, with
what the request says of each tool (name, description, arguments) and nothing else. A long list is cut to the tools that
share most words with the request. A reply schema is read as one tool without a name, whose arguments are the fields.
Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from deputize.core.function_words import FUNCTION_WORDS
from deputize.core.records import Request

LISTED: Final = "⟨listed⟩ "
"""Start of the last line of a prompt, which holds the list."""
MAX_TOOLS = 24
"""Tools that a specialist reads; of a longer list those nearest to the request."""
MAX_LIST_CHARS = 16_000
_MAX_DESCRIPTION, _MAX_ARGUMENT, _MAX_CHOICES = 240, 140, 64
_MAX_CACHED_BYTES = 256 * 1024

_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TYPES: Final = {
    "dict": "object",
    "float": "number",
    "double": "number",
    "long": "integer",
    "int": "integer",
    "str": "string",
    "tuple": "array",
    "list": "array",
    "bool": "boolean",
}
"""Names of types that some lists use, as JSON Schema calls them."""
_PLAIN: Final = frozenset(["string", "integer", "number", "boolean", "array"])
ANY: Final = "any"
"""The type of an argument that no specialist fills in: an object, several types, a type that is not known."""

_sorted_json = msgspec.json.Encoder(order="sorted")
_plain_json = msgspec.json.Encoder()


class ListedArgument(msgspec.Struct, array_like=True, frozen=True):
    """One argument of a tool, or one field of a reply."""

    name: str
    type: str
    """string, integer, number, boolean, array; `ANY` for everything else."""
    required: bool
    description: str = ""
    choices: list[Any] | None = None
    """The values that the schema allows; None: any of the type."""
    items: str = ""
    """Of an array: the type of its members."""
    default: Any = None


class ListedTool(msgspec.Struct, array_like=True, frozen=True):
    """A tool as a request lists it; without a name: the reply's schema."""

    name: str
    description: str
    arguments: list[ListedArgument]


_decoder = msgspec.json.Decoder(list[ListedTool])


def listed_tools(request: Request) -> list[ListedTool]:
    """The tools that a request lists, in its order; without tools, the schema of its reply; [] where it has neither."""
    if request.tools:
        written = _plain_json.encode(request.tools)
        return list((_read if len(written) > _MAX_CACHED_BYTES else _read_cached)(written))
    found = _reply_schema(request)
    return [] if found is None else [_tool("", "", found)]


def digests(request: Request) -> tuple[str, ...]:
    """For each tool that a request lists, or its reply schema, a digest of all that it says: any change makes another
    one."""
    if request.tools:
        written = _plain_json.encode(request.tools)
        return (_digests if len(written) > _MAX_CACHED_BYTES else _digests_cached)(written)
    found = _reply_schema(request)
    return () if found is None else (_digest(found),)


def with_list(text: str, request: Request) -> str:
    """A pruned prompt with the list of its request as the last line."""
    tools = nearest(listed_tools(request), text)
    written = _plain_json.encode(tools).decode()
    while len(written) > MAX_LIST_CHARS and len(tools) > 1:
        tools = nearest(tools, text, len(tools) - 1)
        written = _plain_json.encode(tools).decode()
    return f"{text}\n{LISTED}{written}"


def split_list(text: str) -> tuple[str, list[ListedTool]]:
    """(the prompt without its list, the list) of a text that `with_list` made; no tools where it has no such line."""
    before, mark, written = text.rpartition(f"\n{LISTED}")
    if not mark:
        return text, []
    try:
        return before, _decoder.decode(written)
    except msgspec.DecodeError:
        return text, []


def without_list(text: str) -> str:
    """A text that `with_list` made without its list; any other text as it stands."""
    before, mark, _ = text.rpartition(f"\n{LISTED}")
    return before if mark else text


def nearest(tools: Sequence[ListedTool], text: str, most: int = MAX_TOOLS) -> list[ListedTool]:
    """At most so many tools, those that share most words with a text, in the order of the list."""
    if len(tools) <= most:
        return list(tools)
    words = content_words(text)
    shared = [word_overlap(words, tool, tools) for tool in tools]
    best = sorted(range(len(tools)), key=lambda i: (-shared[i], i))[:most]
    return [tools[i] for i in sorted(best)]


def word_overlap(words: frozenset[str], tool: ListedTool, tools: Sequence[ListedTool]) -> float:
    """The words of a text that a tool has too, each weighed by how few of the list have it, per square root of the
    tool's words."""
    mine = tool_words(tool)
    if not mine:
        return 0.0
    all_words = [tool_words(one) for one in tools]
    shared = sum(1 / sum(word in other for other in all_words) for word in words & mine)
    return float(shared / len(mine) ** 0.5)


@lru_cache(maxsize=4096)
def _words_of_tool(name: str, description: str, arguments: tuple[tuple[str, str], ...]) -> frozenset[str]:
    return content_words(" ".join([name, description, *(f"{n} {d}" for n, d in arguments)]))


def tool_words(tool: ListedTool) -> frozenset[str]:
    """The content words of a tool's name, description and arguments."""
    return _words_of_tool(tool.name, tool.description, tuple((a.name, a.description) for a in tool.arguments))


def content_words(text: str) -> frozenset[str]:
    """The words of a text that are no function words, in small letters, a plural s left out; names in camel case are
    parted."""
    return frozenset(words_in_order(text)) - FUNCTION_WORDS


def words_in_order(text: str) -> list[str]:
    """All words and numbers of a text, as `content_words` writes them."""
    return [_stem(word) for word in _WORD.findall(_CAMEL.sub(" ", text).lower())]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _reply_schema(request: Request) -> dict[str, Any] | None:
    """The JSON schema that a request asks its reply to keep; None where it asks for none."""
    asked = request.response_format or {}
    if asked.get("type") != "json_schema":
        return None
    outer = asked.get("json_schema")
    found = outer.get("schema") if isinstance(outer, dict) else asked.get("schema")
    return found if isinstance(found, dict) else None


def _read(written: bytes) -> tuple[ListedTool, ...]:
    out = []
    for tool in msgspec.json.decode(written):
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            schema = function.get("parameters")
            out.append(
                _tool(
                    str(function.get("name") or ""),
                    str(function.get("description") or ""),
                    schema if isinstance(schema, dict) else {},
                )
            )
    return tuple(out)


_read_cached = lru_cache(maxsize=512)(_read)


def _digests(written: bytes) -> tuple[str, ...]:
    return tuple(_digest(tool) for tool in msgspec.json.decode(written))


_digests_cached = lru_cache(maxsize=512)(_digests)


def _digest(listed: Any) -> str:
    return blake2b(_sorted_json.encode(listed), digest_size=10).hexdigest()


def _tool(name: str, description: str, schema: dict[str, Any]) -> ListedTool:
    properties = schema.get("properties")
    required = schema.get("required")
    needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    known = properties if isinstance(properties, dict) else {}
    arguments = [_argument(str(n), s if isinstance(s, dict) else {}, n in needed) for n, s in known.items()]
    # what is needed and nowhere described cannot be filled in
    arguments += [ListedArgument(n, ANY, True) for n in sorted(needed - known.keys())]
    return ListedTool(name, _clip(description, _MAX_DESCRIPTION), arguments)


def _argument(name: str, schema: dict[str, Any], required: bool) -> ListedArgument:
    choices = schema.get("enum")
    if "const" in schema:
        choices = [schema["const"]]
    if not isinstance(choices, list) or not choices or len(choices) > _MAX_CHOICES:
        choices = None
    type_ = _type(schema, choices)
    items = schema.get("items")
    member = _type(items, None) if isinstance(items, dict) else ""
    if type_ == "array":
        if isinstance(items, dict) and isinstance(items.get("enum"), list):
            choices = items["enum"][:_MAX_CHOICES] or None
        if member not in ("string", "integer", "number"):
            type_ = ANY
    return ListedArgument(
        name,
        type_,
        required,
        _clip(str(schema.get("description") or ""), _MAX_ARGUMENT),
        choices,
        member if type_ == "array" else "",
        schema.get("default") if isinstance(schema.get("default"), str | int | float | bool) else None,
    )


_LIMITS: Final = frozenset(
    [
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "$ref",
        "if",
    ]
)
"""Keywords that say more of a value than its type, so that a value of the type may break them."""


def _type(schema: dict[str, Any], choices: list[Any] | None) -> str:
    named = schema.get("type")
    if not _LIMITS.isdisjoint(schema):
        return ANY
    if isinstance(named, str):
        name = _TYPES.get(named.lower(), named.lower())
        return name if name in _PLAIN else ANY
    return "string" if named is None and choices and all(isinstance(c, str) for c in choices) else ANY


def _clip(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 2] + " …"
