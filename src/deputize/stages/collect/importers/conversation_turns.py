"""Conversations as calls: every assistant turn is a call whose prompt is all that stands before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Message
from deputize.stages.collect.importers import declared_settings as declared
from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.message_formats import read_messages, without_turn_fields
from deputize.stages.collect.importers.prompt_formats import read_tools, stored_params
from deputize.stages.collect.importers.recorded_exchange import NOTHING_KNOWN, KnownFields
from deputize.wire.json_fields import mapping


class SeenTurns:
    """The turns of a file, so that a turn that comes again as history of a later line is read once."""

    def __init__(self) -> None:
        self._seen: dict[bytes, bool] = {}

    def is_new(self, key: bytes, *, is_last: bool) -> bool:
        """Check and remember. Two lines that end in the same turn are two samples of it; other repeats are history."""
        was_last = self._seen.get(key)
        self._seen[key] = is_last and was_last is not False
        return was_last is None or (is_last and was_last)


def conversation_calls(
    raw: Any,
    context: ImportContext,
    *,
    row: dict[str, Any] | None = None,
    known: KnownFields = NOTHING_KNOWN,
    seen: SeenTurns | None = None,
) -> list[Call | Skip]:
    """The calls of a conversation.

    Args:
        raw: its messages, in any form.
        context: where it stands.
        row: the object that holds it, in which ids, tools, times and the outcome are looked up.
        known: what the importer knows better. `id` names the conversation.
        seen: turns of earlier lines; a turn that is among them is left out.

    Raises:
        Unreadable: the messages cannot be read.
    """
    row = row or {}
    messages = read_messages(raw, next((row[k] for k in names.SYSTEMS if row.get(k)), None))
    turns = [n for n, m in enumerate(messages) if m.get("role") == "assistant"]
    if not turns:
        raise Unreadable("no response: a conversation without a turn of the assistant")
    shared = _shared_fields(row, context, known)
    keys = _turn_keys(messages, turns)
    name = (
        known.id
        if known.id is not None
        else side.text((row,), ("id", "conversation_id", "conversation_hash", "uuid"))
    )
    episode = (
        shared["episode"]
        or (name if len(turns) > 1 else "")
        or (f"conversation-{keys[0].hex()}" if len(turns) > 1 else "")
    )
    out: list[Call | Skip] = []
    for step, (place, key) in enumerate(zip(turns, keys, strict=True)):
        turn = messages[place]
        reason = _reason_to_leave_out(turn, place)
        if reason:
            out.append(context.no_call(reason))
            continue
        if seen is not None and not seen.is_new(key, is_last=place == len(messages) - 1):
            continue
        call = Call(
            **{**shared, "episode": episode, "group": shared["group"] or episode},
            id=name if name and len(turns) == 1 else f"{name}-{step}" if name else "",
            messages=[without_turn_fields(m) for m in messages[:place]],
            response=without_turn_fields(turn),
            step=step,
        )
        out.append(_with_turn_fields(call, turn))
    return out or [context.no_call("all turns are in earlier lines too")]


def _reason_to_leave_out(turn: Message, place: int) -> str:
    weight = turn.get("weight")
    if isinstance(weight, int | float) and weight == 0:
        return "a turn of weight 0"
    if place == 0:
        return "a turn of the assistant without anything before it"
    if not turn.get("content") and not turn.get("tool_calls") and not turn.get("refusal"):
        return "an empty turn of the assistant"
    return ""


def _turn_keys(messages: Sequence[Message], turns: Sequence[int]) -> list[bytes]:
    """A digest of each turn together with all that stands before it."""
    digest = hashlib.blake2b(digest_size=12)
    keys = []
    wanted = set(turns)
    for place, message in enumerate(messages):
        digest.update(msgspec.json.encode(without_turn_fields(message)))
        if place in wanted:
            keys.append(digest.copy().digest())
    return keys


def _shared_fields(row: dict[str, Any], context: ImportContext, known: KnownFields) -> dict[str, Any]:
    """The fields that all calls of a conversation have."""
    metadata = [m for key in names.METADATA if (m := mapping(row.get(key))) is not None]
    places = (row, *metadata, context.around)
    agent = known.agent if known.agent is not None else side.text((row, *metadata), names.AGENT)
    agent = agent or context.agent
    task = side.text((row, *metadata), names.TASK)
    tenant = side.text((row, *metadata), ("tenant",)) or "default"
    user = known.user if known.user is not None else side.text(places, names.ORIGIN)
    episode = known.episode if known.episode is not None else side.episode(places)
    tools = row.get("tools") if row.get("tools") is not None else row.get("functions")
    settings = declared.as_places(
        [known.params if known.params is not None else row.get("params"), row, *metadata]
    )
    return {
        "agent": agent,
        "site": known.site if known.site is not None else side.text((row,), names.SITE),
        "episode": episode,
        "group": known.group if known.group is not None else f"{agent}:{task}" if task else "",
        "tenant": tenant,
        "origin": context.pseudonym(user, tenant) if user else "",
        "model": known.model or side.text((row,), names.MODEL),
        "tools": read_tools(known.tools if known.tools is not None else tools),
        "response_format": declared.declared_format(settings),
        "tool_choice": declared.declared_choice(settings),
        "params": declared.without_declared(
            stored_params(known.params if known.params is not None else row.get("params"))
        ),
        "outcome": known.outcome or side.outcome((row, *metadata)),
        "timestamp": known.timestamp if known.timestamp is not None else side.timestamp((row,)),
        "source": known.source,
    }


def _with_turn_fields(call: Call, turn: Message) -> Call:
    """The call with what its own turn says of tokens, model and time."""
    usage, model, time = side.usage_of(turn.get("usage")), turn.get("model"), side.timestamp((turn,))
    changes: dict[str, Any] = {}
    if usage is not None:
        changes["usage"] = usage
    if isinstance(model, str) and model:
        changes["model"] = model
    if time is not None:
        changes["timestamp"] = time
    return msgspec.structs.replace(call, **changes) if changes else call


def calls_or_skip(
    messages: Any, context: ImportContext, known: KnownFields, row: dict[str, Any] | None = None
) -> Parsed:
    """The calls of a conversation, or a Skip with the reason why it cannot be read."""
    try:
        return conversation_calls(messages, context, row=row, known=known)
    except Unreadable as why:
        return context.skip(str(why))
