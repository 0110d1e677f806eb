"""Trace context of a call: the parent that its request names, and what the upstream is told.

References:
    W3C, "Trace Context" (traceparent and tracestate).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import getrandbits, random

import msgspec
from msgspec import structs

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_STATE = 512


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """The span of one call."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    """"" where the call begins its trace."""
    sampled: bool = True
    state: str = ""
    """tracestate, as it came."""

    def child(self) -> TraceContext:
        """The context of a further call that this one gives rise to."""
        return structs.replace(self, span_id=_new_span_id(), parent_id=self.span_id)

    def told(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Headers of a request with what its upstream is told, so that its spans stand below this one."""
        kept = {name: value for name, value in headers.items() if name not in ("traceparent", "tracestate")}
        kept["traceparent"] = f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"
        if self.state:
            kept["tracestate"] = self.state
        return kept


def trace_context_of(headers: Mapping[str, str], sample_share: float) -> TraceContext:
    """The context of a request. A traceparent that cannot be read is as none: the call begins a trace.

    Args:
        headers: lower-case names.
        sample_share: share of the traces begun here that are exported; a request's own trace is as its caller decided.
    """
    given = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    if given is None or not _is_usable(given):
        return TraceContext(f"{getrandbits(128) or 1:032x}", _new_span_id(), sampled=random() < sample_share)
    state = headers.get("tracestate", "")
    return TraceContext(
        trace_id=given[2],
        span_id=_new_span_id(),
        parent_id=given[3],
        sampled=bool(int(given[4], 16) & 1),
        state=state if len(state) <= _MAX_STATE else "",
    )


def _new_span_id() -> str:
    return f"{getrandbits(64) or 1:016x}"


def _is_usable(given: re.Match[str]) -> bool:
    version, trace_id, parent_id, more = given[1], given[2], given[3], given[5]
    return (
        version != "ff"
        and not (version == "00" and more)
        and bool(trace_id.strip("0") and parent_id.strip("0"))
    )
