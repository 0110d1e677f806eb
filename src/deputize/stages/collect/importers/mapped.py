"""Importer of a format of one's own: the user says where each field of a call stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deputize.core.errors import UsageError
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import as_text, structured
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.stages.collect.importers.side_fields import cost_usd, latency_ms, number, outcome_of, seconds

FIELDS = (
    "messages",
    "prompt",
    "system",
    "request",
    "response",
    "tools",
    "id",
    "agent",
    "site",
    "episode",
    "task",
    "user",
    "model",
    "time",
    "latency_ms",
    "latency_s",
    "cost_usd",
    "outcome",
    "label",
    "status",
)
_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def parse_field_paths(given: list[str]) -> dict[str, str]:
    """The pairs field=path of a command line.

    Raises:
        UsageError: not such a pair, a field that is not known, or neither a prompt nor a response among them.
    """
    out: dict[str, str] = {}
    for pair in given:
        field, equals, path = pair.partition("=")
        if not equals or not path or field not in FIELDS:
            raise UsageError(f"{pair!r} is not field=path; fields are {', '.join(FIELDS)}.")
        out[field] = path
    if out and not ("response" in out and out.keys() & {"messages", "prompt", "request"}):
        raise UsageError("--map needs response=PATH, and one of messages=PATH, prompt=PATH and request=PATH.")
    return out


def value_at(row: Any, path: str) -> Any:
    """The value at a path such as data.turns[0].text; None where there is none. Texts that are JSON are opened."""
    if isinstance(row, dict) and path in row:
        return row[path]
    value = row
    for index, key in _STEP.findall(path):
        value = structured(value)
        if index:
            place = int(index)
            value = value[place] if isinstance(value, list) and place < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


class MappedImporter:
    """Reads objects by the paths that were given with --map."""

    name = "map"
    description = "your own format: --map messages=PATH --map response=PATH"

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = dict(paths)

    def sniff(self, row: dict[str, Any]) -> bool:
        return any(self._get(row, name) is not None for name in ("messages", "prompt", "request"))

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        request = self._get(row, "request")
        if request is None:
            prompt = self._get(row, "messages")
            prompt = self._get(row, "prompt") if prompt is None else prompt
            if prompt is None:
                return context.skip("nothing stands at the path of the prompt")
            request = {"messages": prompt, "system": self._get(row, "system")}
        response = self._get(row, "response")
        status, task = number(self._get(row, "status")), as_text(self._get(row, "task"))
        agent = as_text(self._get(row, "agent"))
        latency = number(self._get(row, "latency_ms"))
        known = KnownFields(
            id=as_text(self._get(row, "id")),
            agent=agent or None,
            site=as_text(self._get(row, "site")),
            episode=as_text(self._get(row, "episode")) or None,
            group=f"{agent or context.agent}:{task}" if task else None,
            user=as_text(self._get(row, "user")) or None,
            model=as_text(self._get(row, "model")) or None,
            tools=self._get(row, "tools"),
            outcome=outcome_of(self._get(row, "outcome")),
            label=self._get(row, "label"),
            cost_usd=cost_usd(({"cost_usd": self._get(row, "cost_usd")},)),
            latency_ms=latency
            if latency is not None
            else latency_ms(({"latency_s": self._get(row, "latency_s")},)),
            timestamp=seconds(self._get(row, "time")),
            status=int(status) if status is not None else None,
        )
        try:
            return exchange_calls(row, request, response, context, known)
        except Unreadable as why:
            return context.skip(str(why))

    def _get(self, row: dict[str, Any], name: str) -> Any:
        return value_at(row, self._paths[name]) if name in self._paths else None
