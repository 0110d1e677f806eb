"""Feedback from callers: how a run of an agent, or a single call, turned out."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.gateway.protocols import CallRecorder
from deputize.wire.chat_request import decode_object

CORRECTION = "correction"
"""Metric of feedback that says what would have been right."""

_MAX_QUOTED = 200


class CallerFeedback(msgspec.Struct, frozen=True):
    """One value of one metric, for an episode or for a call."""

    metric: str
    value: float
    episode: str = ""
    call_id: str = ""
    """Empty where `episode` is not, and the other way round."""
    correction: Message | None = None
    """Of a call: the right answer, as an assistant message."""


def read_feedback(body: bytes) -> CallerFeedback:
    """The feedback in a request body.

    Raises:
        BadInput: it is for no episode or call, or for both, names no metric or no value, or holds a correction that is
            none.
    """
    fields = decode_object(body)
    episode, call_id = str(fields.get("episode") or ""), str(fields.get("call_id") or "")
    metric, value = fields.get("metric"), fields.get("value")
    if bool(episode) == bool(call_id):
        raise BadInput("Feedback names either an 'episode' or a 'call_id'.")
    correction = fields.get("correction")
    if correction is not None:
        if not call_id:
            raise BadInput("A 'correction' is about one call: name it by its 'call_id'.")
        return CallerFeedback(CORRECTION, 1.0, "", call_id, read_correction(correction))
    if not isinstance(metric, str) or not metric:
        raise BadInput("Feedback needs a 'metric': a name such as success or reward.")
    if not isinstance(value, int | float):
        raise BadInput("Feedback needs a 'value': a number, true or false.")
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise BadInput("The 'value' of feedback must be a finite number.")
    return CallerFeedback(metric, number, episode, call_id)


async def unknown_subject(recorder: CallRecorder, feedback: CallerFeedback, tenant: str) -> str:
    """A sentence where no call has the id or the episode that feedback is for; "" where one has.

    Args:
        recorder: of the calls.
        feedback: of a caller.
        tenant: whose episodes it may be for; "" for everybody's.
    """
    if feedback.call_id:
        if await recorder.knows_call(feedback.call_id):
            return ""
        named = feedback.call_id[:_MAX_QUOTED]
        return f"There is no call {named!r} here: its id is x-deputize-request-id of its answer."
    if await recorder.knows_episode(tenant, feedback.episode):
        return ""
    named = feedback.episode[:_MAX_QUOTED]
    return (
        f"There is no call of the episode {named!r} here: calls name it in x-deputize-episode, and it is kept with those "
        "that are recorded in full."
    )


def read_correction(given: Any) -> Message:
    """The right answer as an assistant message: a text, or a message with `content` or `tool_calls`.

    Raises:
        BadInput: it is neither.
    """
    if isinstance(given, str) and given.strip():
        return {"role": "assistant", "content": given}
    if isinstance(given, dict):
        content, calls = given.get("content"), given.get("tool_calls")
        if isinstance(content, str | None) and isinstance(calls, list | None) and (content or calls):
            named = [c.get("function") for c in calls or [] if isinstance(c, dict)]
            if len(named) == len(calls or []) and all(_is_function(f) for f in named):
                return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
    raise BadInput(
        "A 'correction' is a text, or an assistant message with 'content', or with 'tool_calls' of which each has a "
        "'function' with 'name' and 'arguments' (JSON as text)."
    )


def _is_function(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and isinstance(given.get("name"), str)
        and isinstance(given.get("arguments"), str)
    )
