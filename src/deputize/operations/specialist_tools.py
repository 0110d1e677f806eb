"""Certified specialists as tools of other agents: their arguments, the schema of their answers, and a call of one.

A tool takes what varies in the prompts of its task, and answers as the route would: from the threshold of the
certificate on. Below it, and for texts unlike those of the task, it says that it does not answer; it never guesses.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from deputize.core.certificate_age import expired
from deputize.core.contracts import DEFER
from deputize.core.errors import BadInput, DeputizeError
from deputize.core.records import EVERY_TENANT, Contract, Field, Record, Request, Route, Task
from deputize.files import FileStamp, stamp_of
from deputize.home import Home
from deputize.specialists.base import LOCAL
from deputize.specialists.serving.base import Engine
from deputize.specialists.specialist_card import CARD, digest_of, read_card

_SLOT, _MASK = "⟨…⟩", "⟨⟩"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
MOST_NAME = 48


class ToolSlot(Record):
    """One argument of a tool: a place of the prompt that varies."""

    name: str
    head: str = ""
    """What stands before it in its line, as in "Order:"."""


class SpecialistTool(Record):
    """One route as a tool."""

    name: str
    description: str
    slots: list[ToolSlot]
    route: Route

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON schema of its arguments."""
        properties = {
            slot.name: {
                "type": "string",
                "description": f"What stands after {slot.head!r} in the prompt."
                if slot.head
                else "What varies in the prompt, as the agent would send it.",
            }
            for slot in self.slots
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON schema of what a call gives."""
        return {
            "type": "object",
            "properties": {
                "answered": {"type": "boolean"},
                "answer": answer_schema(self.route.contract),
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                "certificate": {"type": "string"},
                "why_not": {"type": "string"},
            },
            "required": ["answered"],
        }


class ToolsInForce:
    """The tools of a home's routes as they are at each moment: a route that is closed, rolled back or expired is none
    any more."""

    def __init__(self, home: Home, tenant: str) -> None:
        self._home, self._tenant = home, tenant
        self._names: dict[str, str] = {}
        """Route id -> the name of its tool, which no other route's tool gets later."""
        self._read: list[FileStamp | None] | None = None
        self._tools: list[SpecialistTool] = []

    def __call__(self) -> list[SpecialistTool]:
        """Raises BadInput, Tampered as `tools_of`."""
        if self._read is None or self._stamps() != self._read:
            self._read = None
            before = stamp_of(self._home.routes_path)
            self._tools = tools_of(self._home, self._tenant, names=self._names)
            self._read = [before, *self._stamps()[1:]]
        now_s = time.time()
        return [t for t in self._tools if t.route.certificate and not expired(t.route.certificate, now_s)]

    def _stamps(self) -> list[FileStamp | None]:
        """Of the route file, and of the cards of the tools' specialists."""
        folders = [self._home.path / tool.route.specialist for tool in self._tools]
        return [stamp_of(self._home.routes_path), *(stamp_of(folder / CARD) for folder in folders)]


def tools_of(
    home: Home, tenant: str, *, now_s: float | None = None, names: dict[str, str] | None = None
) -> list[SpecialistTool]:
    """The live routes of a tenant as tools, those that all tenants share included.

    Routes of tasks whose prompt is a run of an agent so far, or holds a list of tools of its own, are none: no argument
    could stand for that.

    Args:
        names: those that routes have had, by their ids; more are added.

    Raises:
        BadInput, Tampered: the route file or the card of a specialist cannot be read.
    """
    now_s = time.time() if now_s is None else now_s
    found: list[SpecialistTool] = []
    names = {} if names is None else names
    for route in home.routes().routes:
        if route.tenant not in (tenant, EVERY_TENANT) or route.state != "live":
            continue
        if route.certificate is None or expired(route.certificate, now_s):
            continue
        folder = home.path / route.specialist
        if route.card_sha256 and digest_of(folder / CARD) != route.card_sha256:
            continue  # not the specialist that was certified
        task = read_card(folder).task
        if task.recipe.mode == "dialogue" or task.recipe.with_list:
            continue
        name = names.get(route.id) or _name(route.task_name, list(names.values()))
        names[route.id] = name
        about = f"{route.task_name}. Answers where it is sure, else says that it does not. {route.certificate.claim}"
        found.append(SpecialistTool(name=name, description=about, slots=slots_of(task), route=route))
    return found


def _name(text: str, taken: Sequence[str]) -> str:
    """A name of letters, digits and underscores that no other tool has."""
    plain = _NOT_IN_NAMES.sub("_", text.lower()).strip("_")[:MOST_NAME].strip("_") or "task"
    name, n = plain, 2
    while name in taken:
        name, n = f"{plain}_{n}", n + 1
    return name


def slots_of(task: Task) -> list[ToolSlot]:
    """The places of a task's prompt that vary and that its specialist reads, in their order."""
    constant = frozenset(task.recipe.constant_lines)
    found: list[ToolSlot] = []
    for line in task.template.splitlines():
        if not line.rstrip().endswith(_SLOT) or line.replace(_SLOT, _MASK) in constant:
            continue
        head = line.rstrip().removesuffix(_SLOT).strip()
        if _SLOT in head:
            head = ""
        name = _name(head or "text", [slot.name for slot in found])
        found.append(ToolSlot(name=name, head=head))
    return found or [ToolSlot(name="text")]


def request_of(tool: SpecialistTool, arguments: Mapping[str, Any]) -> Request:
    """The request that a specialist reads the arguments from.

    Raises:
        BadInput: an argument is missing, unknown or no text.
    """
    wanted = [slot.name for slot in tool.slots]
    if set(arguments) != set(wanted) or not all(isinstance(value, str) for value in arguments.values()):
        raise BadInput(f"{tool.name} takes the texts {', '.join(wanted)}.")
    lines = [f"{slot.head} {arguments[slot.name]}".strip() for slot in tool.slots]
    return Request(messages=[{"role": "user", "content": "\n".join(lines)}])


async def call(
    tool: SpecialistTool, arguments: Mapping[str, Any], engine: Engine, timeout_s: float
) -> dict[str, Any]:
    """The reply of a tool: its answer, or why it gives none.

    Raises:
        BadInput: as `request_of`.
    """
    request, route = request_of(tool, arguments), tool.route
    certificate = route.certificate
    assert certificate is not None
    try:
        found = await engine.predict(route.specialist, request, timeout_s)
    except (DeputizeError, TimeoutError, OSError) as error:
        return {"answered": False, "why_not": f"the specialist could not be asked ({type(error).__name__})"}
    if certificate.engine and found.engine not in (certificate.engine, LOCAL):
        return {"answered": False, "why_not": "its certificate was measured on another engine"}
    if found.out_of_distribution:
        return {"answered": False, "why_not": "the text is unlike those that it was trained on"}
    if found.answer is None or found.answer == DEFER or not found.confidence >= route.threshold:
        return {
            "answered": False,
            "confidence": _shown(found.confidence),
            "why_not": "it is not sure enough: ask a large model",
        }
    return {
        "answered": True,
        "answer": msgspec.to_builtins(found.answer),
        "confidence": _shown(found.confidence),
        "certificate": certificate.id,
    }


def _shown(confidence: float) -> float:
    """In steps of .05: finer ones tell a caller how to move it, and what was trained on."""
    return round(confidence * 20) / 20


def answer_schema(contract: Contract) -> dict[str, Any]:
    """JSON schema of the canonical answers of a task."""
    if contract.kind == "label":
        return {"type": "string", "enum": contract.labels}
    if contract.kind == "json":
        return {
            "type": "object",
            "properties": {field.name: _field_schema(field) for field in contract.fields},
            "required": [field.name for field in contract.fields if not field.optional],
        }
    if contract.kind == "tool_call":
        call_ = {
            "type": "object",
            "properties": {
                "name": {"type": "string", "enum": contract.tools},
                "arguments": {"type": "object"},
            },
            "required": ["name", "arguments"],
        }
        return {"type": "array", "items": call_}
    return {"type": "string"}


def _field_schema(field: Field) -> dict[str, Any]:
    return {"enum": field.labels} if field.type == "label" and field.labels else {}


def card_text(tools: Sequence[SpecialistTool], url: str, version: str) -> str:
    """`agent_card` as indented JSON."""
    return json.dumps(agent_card(tools, url, version), indent=2, ensure_ascii=False)


def agent_card(tools: Sequence[SpecialistTool], url: str, version: str) -> dict[str, Any]:
    """The A2A agent card of the tools: one skill each, reached through MCP at an address.

    Args:
        tools: the specialists.
        url: of the MCP endpoint.
        version: of this package.

    References:
        Agent2Agent protocol, version 0.3, "Agent card" (a transport may be one that the protocol does not name).
    """
    modes = ["application/json"]
    return {
        "protocolVersion": "0.3.0",
        "name": "deputize specialists",
        "description": "Small certified specialists: each does one task of an agent, or says that it does not.",
        "version": version,
        "url": url,
        "preferredTransport": "MCP",
        "capabilities": {"streaming": False, "pushNotifications": False},
        "defaultInputModes": modes,
        "defaultOutputModes": modes,
        "skills": [
            {
                "id": tool.name,
                "name": tool.route.task_name,
                "description": tool.description,
                "tags": [tool.route.contract.kind, "certified"],
                "inputModes": modes,
                "outputModes": modes,
            }
            for tool in tools
        ],
    }
