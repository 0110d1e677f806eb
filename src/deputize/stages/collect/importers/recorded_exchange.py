"""A call from a request and its response, whatever protocol they are in and under whatever names a log keeps the
rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Audience, Call, Message, Outcome, Usage
from deputize.stages.collect.importers import declared_settings as declared
from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import (
    DECISION_PROTOCOLS,
    Prompt,
    protocol_of,
    read_prompt,
    read_tools,
    stored_params,
)
from deputize.stages.collect.importers.reply_formats import Reply, read_decisions, read_reply
from deputize.wire.json_fields import integer, mapping

_NO_REPLY: tuple[Any, ...] = (None, "", {})


@dataclass(frozen=True, slots=True)
class KnownFields:
    """Fields of a call that an importer knows better than the one table of names does; None: look it up."""

    id: str | None = None
    agent: str | None = None
    site: str | None = None
    episode: str | None = None
    group: str | None = None
    step: int | None = None
    user: str | None = None
    model: str | None = None
    tools: Any = None
    response_format: Any = None
    tool_choice: Any = None
    params: dict[str, Any] | None = None
    outcome: Outcome | None = None
    label: Any = None
    """The right answer, in any form of a reply."""
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    timestamp: float | None = None
    status: int | None = None
    finish_reason: str | None = None
    source: str = ""


NOTHING_KNOWN = KnownFields()


def exchange_calls(
    row: dict[str, Any],
    request: Any,
    response: Any,
    context: ImportContext,
    known: KnownFields = NOTHING_KNOWN,
) -> Call | list[Call | Skip]:
    """The call of one object of a log; several where the model was asked for several choices.

    Args:
        row: the object; ids, episode, times, costs and outcome are looked up in it.
        request: the request in it, or the object itself where the request's fields are in it.
        response: the reply in any form, or what is in its place where the call failed.
        context: where the object stands.
        known: what the importer knows better.

    Raises:
        Unreadable: request or response cannot be read.
    """
    request, request_envelope = _body(request)
    response, envelope = _body(response)
    if row is request_envelope:
        request_envelope = {}
    prompt = read_prompt(request, response)
    reply = _reply_or_failure(response, prompt.protocol, (row, envelope, request_envelope), known)
    places = [p for p in (row, request_envelope, request if isinstance(request, dict) else {}) if p]
    call = _call(row, places, envelope, prompt, reply, context, known)
    if not reply.others:
        return call
    return [call, *_other_choices(call, reply.others)]


def _other_choices(call: Call, others: list[Message]) -> list[Call | Skip]:
    """Calls for the further choices: repeated samples of one prompt. Tokens and cost are the first one's."""
    return [
        msgspec.structs.replace(
            call, id=f"{call.id}-choice-{n}" if call.id else "", response=message, usage=None, cost_usd=None
        )
        for n, message in enumerate(others, 2)
    ]


_BODIES = frozenset({"body", "json", "data"})


def _body(raw: Any) -> tuple[Any, dict[str, Any]]:
    """(the body, what stands around it) of a request or response that a log keeps with its HTTP fields."""
    raw = _decoded(raw)
    if isinstance(raw, dict) and not _BODIES.isdisjoint(raw):
        for name in ("body", "json", "data"):
            inner = _decoded(raw.get(name))
            if isinstance(inner, dict | list) and inner and not _has_body_fields(raw):
                return inner, {k: v for k, v in raw.items() if k != name}
            if isinstance(inner, str) and inner and name == "body":
                return inner, {k: v for k, v in raw.items() if k != name}
    return raw, {}


def _has_body_fields(raw: dict[str, Any]) -> bool:
    return bool(raw.keys() & {"messages", "contents", "choices", "candidates", "output", "prompt", "role"})


def _decoded(raw: Any) -> Any:
    """A text that is JSON of a body; a text that is an answer stays a text, though it may be JSON."""
    value = structured(raw) if isinstance(raw, str) else raw
    if value is raw:
        return raw
    if isinstance(value, list):
        value = [structured(v) for v in value]
        if (
            len(value) == 1
            and isinstance(value[0], dict)
            and (protocol_of(value[0]) or "candidates" in value[0])
        ):
            return value[0]
    is_body = isinstance(value, dict) and (
        protocol_of(value)
        or value.keys() & {"choices", "candidates", "body"}
        or value.get("type") in ("message", "error")
    )
    return value if is_body else raw


def _reply_or_failure(
    response: Any, protocol: str, places: Sequence[dict[str, Any]], known: KnownFields
) -> Reply:
    status = known.status if known.status is not None else side.http_status(places, response)
    if status >= 400:
        return Reply({}, error_status=status)
    if response in _NO_REPLY:
        error = next(
            (p[k] for p in places for k in names.ERROR if p.get(k) not in (None, "", {}, False)), None
        )
        if error is not None:
            return Reply({}, error_status=side.status_of_error(error, places))
        if response is None:
            raise Unreadable("no response")
    decisions = read_decisions(response) if protocol in DECISION_PROTOCOLS else None
    return decisions or read_reply(response)


def _call(
    row: dict[str, Any],
    places: list[dict[str, Any]],
    envelope: dict[str, Any],
    prompt: Prompt,
    reply: Reply,
    context: ImportContext,
    known: KnownFields,
) -> Call:
    metadata = _metadata(places)
    far = [*places, *metadata, context.around]
    own = (row, *metadata)
    agent = (known.agent if known.agent is not None else side.text(own, names.AGENT)) or context.agent
    episode = known.episode if known.episode is not None else side.episode(far)
    task = side.text(own, names.TASK)
    group = known.group if known.group is not None else f"{agent}:{task}" if task else episode
    tenant = side.text(own, ("tenant",)) or "default"
    user = known.user if known.user is not None else side.text(far, names.ORIGIN)
    settings = declared.as_places(
        [
            {"response_format": known.response_format, "tool_choice": known.tool_choice},
            known.params if known.params is not None else row.get("params"),
            *own,
        ]
    )
    tools = prompt.tools or read_tools(known.tools) or read_tools(declared.declared_tools(settings))
    choice = prompt.tool_choice
    return Call(
        id=known.id if known.id is not None else side.text((row,), _IDS),
        messages=prompt.messages,
        response=reply.message,
        episode=episode,
        group=group,
        step=known.step if known.step is not None else integer(row.get("step")) or 0,
        agent=agent,
        site=known.site if known.site is not None else side.text(own, names.SITE),
        model=known.model or prompt.model or side.text((row,), names.MODEL) or reply.model,
        tools=tools,
        response_format=prompt.response_format or declared.declared_format(settings),
        tool_choice=choice if choice is not None else declared.declared_choice(settings),
        params=_params(row, prompt, known),
        audience=_audience(row),
        origin=context.pseudonym(user, tenant) if user else "",
        tenant=tenant,
        outcome=known.outcome or side.outcome(own),
        correction=_label(known.label),
        usage=_usage(row, metadata, reply, known),
        cost_usd=_cost(known, own, reply),
        latency_ms=_latency(known, (row, envelope, *metadata), reply),
        ttft_ms=known.ttft_ms if known.ttft_ms is not None else side.ttft_ms(own),
        timestamp=_time(row, far, reply, known),
        status=reply.error_status or 200,
        aborted=not reply.is_whole and not reply.error_status,
        finish_reason=_finish_reason(row, reply, known),
        protocol=prompt.protocol if prompt.protocol in _GATEWAY_PROTOCOLS else "chat",
        logprobs=reply.logprobs,
        source=known.source or side.text((row,), ("source",)),
    )


def _finish_reason(row: dict[str, Any], reply: Reply, known: KnownFields) -> str:
    return known.finish_reason or reply.finish_reason or side.text((row,), ("finish_reason", "finishReason"))


_IDS = ("id", "call_id", "request_id", "requestId", "uuid")


def _usage(
    row: dict[str, Any], metadata: Sequence[dict[str, Any]], reply: Reply, known: KnownFields
) -> Usage | None:
    first = known.usage or side.usage_in((row,))
    if first is not None or reply.usage is not None:
        return side.fullest([first, reply.usage])
    return side.row_usage(row) or side.usage_in(metadata)


def _cost(known: KnownFields, places: Sequence[dict[str, Any]], reply: Reply) -> float | None:
    if known.cost_usd is not None:
        return known.cost_usd
    found = side.cost_usd(places)
    return found if found is not None else reply.cost_usd


def _latency(known: KnownFields, places: Sequence[dict[str, Any]], reply: Reply) -> float | None:
    if known.latency_ms is not None:
        return known.latency_ms
    found = side.latency_ms(places)
    return found if found is not None else reply.latency_ms


def _label(given: Any) -> Message | None:
    """The right answer as a message; None where there is none, or none that can be read."""
    if given in _NO_REPLY:
        return None
    try:
        reply = read_reply(given)
    except Unreadable:
        return None
    return reply.message if reply.is_whole else None


_GATEWAY_PROTOCOLS = frozenset({"messages", "responses", *DECISION_PROTOCOLS})
_METADATA = frozenset(names.METADATA)


def _metadata(places: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects in which logs keep ids of sessions and users, down to the second level."""
    found = [m for p in places for key in _metadata_keys(p) if (m := mapping(structured(p[key]))) is not None]
    return found + [m for p in found for key in _metadata_keys(p) if (m := mapping(p[key])) is not None]


def _metadata_keys(place: dict[str, Any]) -> list[str]:
    return [] if _METADATA.isdisjoint(place) else [key for key in names.METADATA if key in place]


def _time(
    row: dict[str, Any], far: Sequence[dict[str, Any]], reply: Reply, known: KnownFields
) -> float | None:
    if known.timestamp is not None:
        return known.timestamp
    found = side.timestamp((row,))
    if found is None:
        found = side.seconds(reply.created)
    return side.timestamp(far) if found is None else found


def _params(row: dict[str, Any], prompt: Prompt, known: KnownFields) -> dict[str, Any]:
    """Sampling settings. Other columns of a log are not settings."""
    given = known.params if known.params is not None else structured(row.get("params"))
    return {**prompt.params, **declared.without_declared(stored_params(given))}


def _audience(row: dict[str, Any]) -> Audience:
    given = row.get("audience")
    return given if given in ("human", "code") else "unknown"
