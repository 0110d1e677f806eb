"""Importer of Deputize's own format and its like: a prompt and its answer as fields of one object."""

from __future__ import annotations

from typing import Any

from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls

_PARAMS = ("params", "parameters", "model_parameters", "model_params")
_FLAT = ("temperature", "top_p", "max_tokens", "seed", "stop")


def flat_prompt(row: dict[str, Any]) -> str:
    """The name of the field that holds the prompt; "" where there is none."""
    return next((key for key in names.PROMPTS if row.get(key) not in (None, "", [])), "")


_EXTRA_FIELDS = frozenset(
    {
        *("tools", "functions", "response_format", "tool_choice", "model", "anthropic_version", "metadata"),
        *("format", "options"),
        *names.ORIGIN,
    }
)


_GEMINI_FIELDS = frozenset(
    {
        *("contents", "model", "config", "tools", "toolConfig", "tool_config"),
        *("systemInstruction", "system_instruction", "generationConfig", "generation_config"),
    }
)


class CallsImporter:
    """One object a call: `messages` or `prompt`, `response` (in any form), and what else is known of it."""

    name = "calls"
    description = 'objects {"messages": [...], "response": ...}, one for each call; also a prompt and a completion as text'
    marks = frozenset({form for name in names.PROMPTS for form in (name, name.capitalize(), name.upper())})

    def sniff(self, row: dict[str, Any]) -> bool:
        row = _in_lower_case(row)
        name = flat_prompt(row)
        return bool(name) and "request" not in row and sibling_response(row, name) is not None

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        row = _in_lower_case(row)
        name = flat_prompt(row)
        if not name:
            return context.skip(
                "messages is not a list with at least one message" if "messages" in row else "no messages"
            )
        response = sibling_response(row, name)
        settings = {k: row[k] for k in _FLAT if row.get(k) is not None}
        given = next((row[k] for k in _PARAMS if row.get(k) is not None), None)
        given = structured(given)
        try:
            return exchange_calls(
                row,
                _request(row, name),
                response,
                context,
                KnownFields(params=given if isinstance(given, dict) else settings),
            )
        except Unreadable as why:
            return context.skip(str(why))


def _in_lower_case(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a spreadsheet whose columns are called Prompt and Completion, with its names as they are looked up."""
    if not _PROMPTS.isdisjoint(row):
        return row
    return {key.lower().replace(" ", "_"): value for key, value in row.items()}


_PROMPTS = frozenset(names.PROMPTS)


def sibling_response(row: dict[str, Any], prompt: str) -> Any:
    """The response in an object that has the prompt next to it, None where it has none."""
    return next((row[key] for key in names.RESPONSES if key != prompt and row.get(key) is not None), None)


def _request(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The request among the fields of an object."""
    prompt = structured(row[name])
    if isinstance(prompt, dict) and protocol_of(prompt):
        return prompt
    if name == "contents":
        return {key: row[key] for key in row.keys() & _GEMINI_FIELDS}
    request = {key: row[key] for key in row.keys() & _EXTRA_FIELDS}
    system = next((row[key] for key in names.SYSTEMS if row.get(key)), None)
    if system is not None:
        request["system"] = system
    return {**request, "messages" if name == "messages" else "prompt": prompt}
