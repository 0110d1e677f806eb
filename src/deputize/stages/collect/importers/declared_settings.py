"""Tools, answer format and tool choice of a request, in all the forms and places in which logs keep them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from deputize.stages.collect.importers.embedded_json import structured
from deputize.wire.json_fields import mapping

DECLARED = frozenset(
    {
        *("tools", "functions", "tool_choice", "toolChoice", "function_call"),
        *("response_format", "responseFormat"),
    }
)
"""Fields that have a place of their own in a recorded call, so that they are no sampling settings."""
_FORMATS = ("response_format", "responseFormat")
_CHOICES = ("tool_choice", "toolChoice")
_WORDS = frozenset({"auto", "none", "required"})


def declared_tools(places: Iterable[dict[str, Any]]) -> Any:
    """The first list of tool definitions, None where there is none; a list of names is none."""
    for place in places:
        for key in ("tools", "functions"):
            held = structured(place.get(key))
            if isinstance(held, list) and held and all(isinstance(structured(t), dict) for t in held):
                return held
    return None


def declared_format(places: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The first answer format, in OpenAI's form; None where there is none."""
    for place in places:
        for key in _FORMATS:
            if key in place and (found := answer_format(place[key])) is not None:
                return found
    return None


def declared_choice(places: Iterable[dict[str, Any]]) -> Any:
    """The first tool choice, in OpenAI's form; None where there is none."""
    for place in places:
        for key in _CHOICES:
            if key in place and (found := tool_choice(place[key])) is not None:
                return found
    return None


def answer_format(raw: Any) -> dict[str, Any] | None:
    """An answer format in OpenAI's form: from there, from the Responses API, from a JSON schema or the word "json"."""
    held = structured(raw)
    if isinstance(held, str):
        return (
            {"type": "json_object"} if held.lower() in ("json", "json_object", "application/json") else None
        )
    if not isinstance(held, dict):
        return None
    kind = held.get("type")
    if kind == "json_schema" and not isinstance(held.get("json_schema"), dict):
        inner = {k: v for k, v in held.items() if k != "type" and v is not None}
        return {"type": "json_schema", "json_schema": {"name": "answer", **inner}}
    if kind in ("text", "json_object", "json_schema", "regex", "grammar"):
        return held
    if isinstance(held.get("schema"), dict) and "kwargs" in held:  # LangChain
        return answer_format(held["schema"])
    function = mapping(held.get("function"))
    if function is not None and isinstance(function.get("parameters"), dict):
        return schema_format(function["parameters"], str(function.get("name") or "answer"))
    if kind in ("object", "array") or "properties" in held or "$defs" in held:
        return schema_format(held, str(held.get("title") or "answer"))
    return None


def schema_format(schema: Any, name: str = "answer") -> dict[str, Any] | None:
    """The answer format that asks for a JSON schema; None where it is no schema."""
    held = structured(schema)
    if not isinstance(held, dict) or not held:
        return None
    return {"type": "json_schema", "json_schema": {"name": name, "schema": held}}


def tool_choice(raw: Any) -> Any:
    """A tool choice in OpenAI's form; None where it is none that is known."""
    held = structured(raw)
    if isinstance(held, str):
        word = "required" if held.lower() == "any" else held.lower()
        return word if word in _WORDS else None
    if not isinstance(held, dict):
        return None
    if isinstance(held.get("function"), dict):
        return held
    name = next((held[k] for k in ("name", "toolName", "tool_name") if isinstance(held.get(k), str)), "")
    if name:
        return {"type": "function", "function": {"name": name}}
    return tool_choice(held["type"]) if isinstance(held.get("type"), str) else held


def without_declared(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the fields that are none of sampling."""
    return (
        {k: v for k, v in settings.items() if k not in DECLARED} if DECLARED & settings.keys() else settings
    )


def as_places(values: Sequence[Any]) -> list[dict[str, Any]]:
    """Those of the values that are objects, or the JSON text of one."""
    return [held for value in values if isinstance(held := structured(value), dict)]
