"""Feedback from callers: how a run of an agent, or a single call, turned out."""

from __future__ import annotations

from math import inf, isfinite

import msgspec

from deputize.core.errors import BadInput
from deputize.wire.chat_request import decode_object


class CallerFeedback(msgspec.Struct, frozen=True):
    """One value of one metric, for an episode or for a call."""

    metric: str
    value: float
    episode: str = ""
    call_id: str = ""
    """Empty where `episode` is not, and the other way round."""


def read_feedback(body: bytes) -> CallerFeedback:
    """The feedback in a request body.

    Raises:
        BadInput: it is for no episode or call, or for both, or names no metric or no value.
    """
    fields = decode_object(body)
    episode, call_id = str(fields.get("episode") or ""), str(fields.get("call_id") or "")
    metric, value = fields.get("metric"), fields.get("value")
    if bool(episode) == bool(call_id):
        raise BadInput("Feedback names either an 'episode' or a 'call_id'.")
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
