"""The arguments of a listed tool, as a language model reads and writes them: the tool in a compact form before the
request, and after it one JSON object under the tool's own schema.

Knows nothing of models.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

import msgspec

from deputize.core.listed_tools import ANY, ListedArgument, ListedTool
from deputize.core.prompt import clip
from deputize.specialists.answer_schema import AnswerSchema, Slot

ARGUMENTS: Final = "arguments"
"""The only slot of what is written: the whole object."""
MAX_TOOL_CHARS, MAX_ASKED_CHARS = 1100, 900
"""Of a tool, whose descriptions are cut to what fits, and of a request, which loses its middle."""
DESCRIPTION_CHARS: Final = (80, 40, 20)
"""Of each description, the most that leaves room for all arguments: its beginning says what a value is."""

MAX_CHOICES: Final = 24
"""Of an argument that are read; all may be written."""

_encode = msgspec.json.Encoder().encode


def written_prompt(asked: str, tool: ListedTool) -> str:
    """The prompt after which the arguments of a tool are written.

    Args:
        asked: the request without its list.
        tool: that is called.
    """
    return f"{tool_in_lines(tool)}\n\n{clip(asked, MAX_ASKED_CHARS)}"


def tool_in_lines(tool: ListedTool) -> str:
    """A tool in a line of its own and one for each argument; long descriptions are cut until all has room."""
    for most in (*DESCRIPTION_CHARS, 0):
        lines = [_described(tool.name or "fields of the reply", tool.description, most)]
        lines += [_described(_head(a), a.description, most) for a in tool.arguments]
        text = "\n".join(lines)
        if len(text) <= MAX_TOOL_CHARS:
            break
    return clip(text, MAX_TOOL_CHARS)


def arguments_schema(tool: ListedTool) -> AnswerSchema | None:
    """How the arguments of a tool are written; None where it needs one that its list does not describe."""
    if any(a.required and a.type == ANY for a in tool.arguments):
        return None
    return _schema(_encode(tool.arguments))


def written_arguments(tool: ListedTool, arguments: dict[str, Any]) -> dict[str, Any]:
    """An answer of `arguments_schema`: the arguments in the order in which they are written."""
    return {ARGUMENTS: {a.name: arguments[a.name] for a in tool.arguments if a.name in arguments}}


@lru_cache(maxsize=512)
def _schema(arguments: bytes) -> AnswerSchema:
    known = [a for a in msgspec.json.decode(arguments, type=list[ListedArgument]) if a.type != ANY]
    form = {
        "type": "object",
        "properties": {a.name: _form(a) for a in known},
        "required": [a.name for a in known if a.required],
        "additionalProperties": False,
    }
    slot = Slot(name=ARGUMENTS, role="value", plain=False, form=json.dumps(form, ensure_ascii=False))
    return AnswerSchema(kind="json", slots=[slot], keys=[ARGUMENTS])


def _form(argument: ListedArgument) -> dict[str, Any]:
    """The JSON schema of an argument, as far as its list tells."""
    if argument.type == "array":
        members = {"enum": argument.choices} if argument.choices else {"type": argument.items}
        return {"type": "array", "items": members}
    return {"enum": argument.choices} if argument.choices else {"type": argument.type}


def _head(argument: ListedArgument) -> str:
    """Name, type or choices, and default of an argument; a mark where it may be left out."""
    kind = argument.items if argument.type == "array" else argument.type
    if argument.choices is not None:
        kind = "|".join(str(c) for c in argument.choices[:MAX_CHOICES])
    kind = f"[{kind}]" if argument.type == "array" else kind
    default = "" if argument.default is None else f" = {json.dumps(argument.default)}"
    return f"{argument.name}{'' if argument.required else '?'} {kind}{default}"


def _described(head: str, description: str, most: int) -> str:
    if not description or not most:
        return head
    cut = description if len(description) <= most else f"{description[: most - 1].rstrip()}…"
    return f"{head}: {cut}"
