"""Records as the bytes that get encrypted, and back; feedback folded into a call."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from deputize.core.errors import BadInput, Tampered
from deputize.core.records import Call, Message, Outcome, Record, decode
from deputize.store.base import Entry, Feedback

R = TypeVar("R", bound=Record)

_ENCODER = msgspec.json.Encoder()
_CALLS = msgspec.json.Decoder(Call, strict=False)

SUCCESS = ("success", "resolved")
"""Metrics that say by themselves whether a workflow ended well: 1 yes, 0 no."""


def entry_of(call: Call) -> Entry:
    """A call ready to be filed. What JSON cannot hold (half a surrogate pair, an endless number) is fixed, not refused.

    Raises:
        BadInput: it holds something that is not JSON at all, or is nested too deeply.
    """
    try:
        if call.timestamp is not None and not math.isfinite(call.timestamp):
            call = msgspec.structs.replace(call, timestamp=None)
        try:
            data = _ENCODER.encode(call)
        except (UnicodeEncodeError, OverflowError):
            call = msgspec.convert(_mended(msgspec.to_builtins(call)), Call)
            data = _ENCODER.encode(call)
    except (TypeError, RecursionError, ValueError) as error:
        raise BadInput(f"A call cannot be stored: it is not JSON ({type(error).__name__}).") from error
    return Entry(
        call.id, call.tenant, call.origin, call.agent, call.timestamp, call.version, data, call.episode
    )


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_mended(str(k)): _mended(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(v) for v in value]
    return value


def decode_call(data: bytes) -> Call:
    """The call that was encoded. Raises Tampered when the bytes are not one."""
    try:
        return _CALLS.decode(data)
    except msgspec.DecodeError as error:
        raise Tampered(f"A stored call has an unknown format ({error}).") from error


def decode_record(data: bytes, kind: type[R]) -> R:
    """Any other record. Raises Tampered when the bytes are not one."""
    try:
        return decode(data, kind)
    except msgspec.DecodeError as error:
        raise Tampered(f"A stored {kind.__name__} has an unknown format ({error}).") from error


class Outcomes:
    """Feedback by episode and by call; what was said of a call itself counts more than what was said of its episode."""

    def __init__(self, feedback: Iterable[Feedback]) -> None:
        """`feedback` in the order it came: later words replace earlier ones."""
        self._by_episode: dict[tuple[str, str], Outcome] = {}
        self._by_call: dict[tuple[str, str], Outcome] = {}
        self._corrections: dict[tuple[str, str], Message] = {}
        for one in feedback:
            if one.correction is not None:
                self._corrections[(one.tenant, one.call_id)] = one.correction
                continue  # it says what was right, not how the run ended
            known, about = (self._by_call, one.call_id) if one.call_id else (self._by_episode, one.episode)
            key = one.tenant, about
            known[key] = _said(known.get(key), one)

    def merged(self, call: Call) -> Call:
        """The call with its outcome; as it was where nobody said anything."""
        outcome = call.outcome
        for known, about in ((self._by_episode, call.episode), (self._by_call, call.id)):
            for tenant in ("", call.tenant) if about else ():
                # two tenants may use one name for their episodes
                later = known.get((tenant, about))
                if later is not None:
                    outcome = _over(outcome, later)
        for tenant in ("", call.tenant) if self._corrections else ():
            if (correction := self._corrections.get((tenant, call.id))) is not None:
                call = msgspec.structs.replace(call, correction=correction)
        return call if outcome is call.outcome else msgspec.structs.replace(call, outcome=outcome)


def _said(before: Outcome | None, one: Feedback) -> Outcome:
    success = one.value >= 0.5 if one.metric in SUCCESS else None
    return _over(before, Outcome(reward=one.value, success=success, metric=one.metric))


def _over(before: Outcome | None, later: Outcome) -> Outcome:
    if before is not None and later.success is None and before.success is not None:
        return msgspec.structs.replace(later, success=before.success)
    return later


def checked_feedback(
    episode: str,
    call_id: str,
    metric: str,
    value: float,
    tenant: str = "",
    correction: Message | None = None,
) -> Feedback:
    """A feedback record. Raises BadInput where it says nothing or is about nothing."""
    if bool(episode) == bool(call_id):
        raise BadInput("Feedback needs either an episode or a call_id, and not both.")
    if not metric:
        raise BadInput("Feedback needs a metric, for example success.")
    if not math.isfinite(value):
        raise BadInput(f"The value of feedback must be a number, not {value}.")
    if correction is not None and not call_id:
        raise BadInput("A correction is about one call: name it by its call_id.")
    return Feedback(
        episode=episode,
        call_id=call_id,
        metric=metric,
        value=float(value),
        tenant=tenant,
        correction=correction,
    )


def is_about(feedback: Feedback, tenant: str) -> bool:
    """True where feedback goes when a tenant's retention limit is reached; that about everybody goes with the default
    one."""
    return (feedback.tenant or "default") == tenant
