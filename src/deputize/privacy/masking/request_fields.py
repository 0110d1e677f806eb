"""The texts in the decoded body of a request to an LLM, in whichever protocol, and the same body with other texts.

What is not known here is text. Left as they are: roles, types and ids of the protocol, reasoning that its provider has
signed, and credentials of tools that run at the provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from deputize.core.errors import BadInput

_IDS = frozenset({"id", "call_id", "tool_call_id", "tool_use_id", "item_id"})
"""Fields with ids, which an application may make of what it knows of somebody."""
_STRUCTURAL = frozenset(
    [
        *_IDS,
        "role",
        "type",
        "model",
        "status",
        "detail",
        "media_type",
        "cache_control",
        "object",
        "service_tier",
        "include",
        "prompt_cache_retention",
        "effort",
        "verbosity",
        "truncation",
    ]
)
"""Fields of a protocol that hold a word of it or an id, and no text."""
_WORD = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[\w.:/+=,;-]+", re.ASCII)
_OPAQUE = frozenset({"signature", "encrypted_content"})
"""Fields that only their provider reads."""
_ENCODED = re.compile(r"[A-Za-z0-9+/=_.:|-]+", re.ASCII)
"""What stands there: no text."""
_SAID = frozenset(
    [
        "content",
        "text",
        "input",
        "prompt",
        "output",
        "system",
        "instructions",
        "query",
        "documents",
        "data",
        "thinking",
        "reasoning_content",
        "refusal",
    ]
)
"""Fields with what somebody said: one word of it may be a value too."""
_NUMBERS = frozenset({"seed", "created", "created_at", "completed_at", "expires_at"})
"""Fields with large numbers that are nobody's."""
_MIN_NUMBER = 1_000_000
_DATA = frozenset(
    [
        "input",
        "arguments",
        "parameters",
        "input_schema",
        "schema",
        "json_schema",
        "metadata",
        "variables",
        "args",
        "output",
        "context",
        "state",
    ]
)
"""Fields whose objects are an application's own: there every name is a text."""
_AS_JSON = frozenset({"arguments"})
"""Fields with JSON in a string."""
_FIRST = ("system", "instructions", "tools", "response_format", "text")
_LAST = ("messages", "input", "prompt")
_ATTACHMENTS = frozenset(
    [
        "image",
        "image_url",
        "input_image",
        "input_audio",
        "audio",
        "file",
        "input_file",
        "document",
        "container_upload",
        "video",
        "video_url",
        "computer_screenshot",
    ]
)
_CONTENTS = frozenset({"data", "file_data", "image_url", "url", "file_url", "file_id"})
"""Fields of attachments that hold or name their content."""
_OF_MCP = frozenset(
    [
        "type",
        "name",
        "server_label",
        "server_url",
        "url",
        "connector_id",
        "authorization",
        "authorization_token",
        "headers",
    ]
)
"""Fields by which a provider finds an MCP server."""
_STATE = ("previous_response_id", "conversation", "background")


class Changes(NamedTuple):
    """How a body is rewritten."""

    text: Callable[[str, str, bool], str]
    """(text, the name of its field where that is the application's own, whether it must stay JSON) -> the new text."""
    label: Callable[[str], str]
    """The name of a field or a tool, or a text of the protocol, which is most often one word of the application's ->
    the new one."""
    number: Callable[[Any, str], Any]
    """(number in an object of the application, its field) -> what stands in its place."""
    id: Callable[[str], str]
    """An id in one word -> the new one."""
    passes_attachments: bool


def check_maskable(fields: dict[str, Any]) -> None:
    """Refuses a request about what the provider keeps: there are placeholders in it that nobody can restore.

    Raises:
        BadInput: it goes on with a conversation at the provider, its answer is fetched later, or its text is tokens.
    """
    named = next((name for name in _STATE if fields.get(name)), None)
    items = fields.get("input")
    if named is None and isinstance(items, list) and any(map(_is_reference, items)):
        named = "item_reference"
    for name in ("input", "prompt"):
        if _has_tokens(fields.get(name)):
            raise BadInput(f"Token numbers in {name!r} cannot be masked ([privacy] live); send text.")
    if named is not None:
        raise BadInput(
            f"{named!r} cannot be used while personal data are masked ([privacy] live): what it refers to is kept at the"
            " provider with placeholders. Send the conversation itself."
        )


def _is_reference(item: Any) -> bool:
    return isinstance(item, dict) and (item.get("type") == "item_reference" or item.keys() == {"id"})


def _has_tokens(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(item, int) or (isinstance(item, list) and _has_tokens(item)) for item in value
    )


def rewritten_fields(fields: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A body with its texts changed; what recurs in every request of a conversation comes first.

    Raises:
        BadInput: it has an attachment, and those are not passed on.
    """
    ordered = [
        *(name for name in _FIRST if name in fields),
        *(name for name in fields if name not in _FIRST and name not in _LAST),
        *(name for name in _LAST if name in fields),
    ]
    made = {name: _field(name, fields[name], changes) for name in ordered}
    return {name: made[name] for name in fields}


def _field(name: str, value: Any, changes: Changes) -> Any:
    if name in _OPAQUE and isinstance(value, str) and _ENCODED.fullmatch(value):
        return value
    if isinstance(value, str):
        return _text(name, value, changes) if value else value
    if name in _DATA and isinstance(value, dict):
        return rewritten_data(value, name, changes)
    if name == "mcp_servers" and isinstance(value, list):
        return [_mcp_server(item, changes) if isinstance(item, dict) else item for item in value]
    if isinstance(value, list):
        return [_field(name if isinstance(item, str) else "", item, changes) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if abs(value) < _MIN_NUMBER or name in _NUMBERS else changes.number(value, name)
    return _object(value, changes) if isinstance(value, dict) else value


def _text(name: str, value: str, changes: Changes) -> str:
    if name in _AS_JSON or name in _SAID:
        return changes.text(value, "", name in _AS_JSON)
    if name in _STRUCTURAL and _WORD.fullmatch(value):
        return changes.id(value) if name in _IDS else value
    return changes.label(value)


def _object(value: dict[str, Any], changes: Changes) -> dict[str, Any]:
    kind = value.get("type")
    # a summary of reasoning is in clear and unsigned, and the client has it with its values
    if kind in ("thinking", "redacted_thinking") and _is_signed(value):
        return value
    if kind == "mcp":
        return _mcp_server(value, changes)
    if kind in _ATTACHMENTS and not _is_text_document(value):
        if not changes.passes_attachments:
            raise BadInput(
                f"The request has an attachment ({kind}), and personal data in attachments cannot be masked."
                ' Set live_attachments = "pass" under [privacy] to send them on as they are.'
            )
        return _attachment(value, changes)
    return {
        name if _WORD.fullmatch(name) else changes.label(name): _field(name, inner, changes)
        for name, inner in value.items()
    }


def _mcp_server(value: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """A tool that runs at the provider, with what it is found by as it is."""
    return {n: inner if n in _OF_MCP else _field(n, inner, changes) for n, inner in value.items()}


def _is_signed(value: dict[str, Any]) -> bool:
    return bool(value.get("signature") or value.get("data"))


def _is_text_document(value: dict[str, Any]) -> bool:
    source = value.get("source")
    return isinstance(source, dict) and source.get("type") in ("text", "content")


def _attachment(value: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """An attachment with its names and titles changed, and its content as it is."""
    return {
        name: inner
        if name in _CONTENTS and isinstance(inner, str)
        else _attachment(inner, changes)
        if isinstance(inner, dict)
        else _field(name, inner, changes)
        for name, inner in value.items()
    }


def rewritten_data(value: Any, name: str, changes: Changes) -> Any:
    """An object of an application with every text in it changed, names included.

    Args:
        value: any JSON value.
        name: of the field that holds it.
    """
    if isinstance(value, str):
        return changes.text(value, name, False) if value else value
    if isinstance(value, dict):
        return {
            changes.label(key) if key else key: rewritten_data(inner, key, changes)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [rewritten_data(inner, name, changes) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return changes.number(value, name)
    return value
