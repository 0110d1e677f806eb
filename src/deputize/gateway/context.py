"""The context of a call (agent, site, episode, origin), read from a request's headers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.recording_policy import LEVELS, Kept, Recording
from deputize.core.records import Audience
from deputize.gateway.trace_context import TraceContext
from deputize.router.policy import Override

_MAX_NAME = 256
_END_USERS = frozenset({"user", "safety_identifier"})
RECORDING = Recording()
"""Everything is kept."""


class Context(msgspec.Struct, frozen=True, gc=False):
    """The facts about one call that its headers give."""

    id: str
    arrived_at: float
    """Unix seconds."""
    started: float
    """perf_counter seconds."""
    agent: str = ""
    site: str = ""
    episode: str = ""
    audience: Audience = "unknown"
    origin: str = ""
    """Pseudonym."""
    override: Override = "auto"
    tenant: str = "default"
    trace: TraceContext | None = None
    """None where no spans are exported."""
    record: Kept = "full"
    """What is kept of it."""

    @property
    def canary_key(self) -> str:
        """The key by which a canary share is drawn: the episode, so that one run stays with one model; else the
        origin."""
        return self.episode or self.origin or self.id


class CallIds:
    """Makes fresh ids; random, so that they tell nothing about other calls. To be made in the process that uses them.

    Random bytes are taken from the system for many ids at a time: each such call hands the interpreter to another
    thread.
    """

    def __init__(self) -> None:
        self._ready: list[str] = []

    def __call__(self) -> str:
        if not self._ready:
            digits = os.urandom(12 * 256).hex()
            self._ready = [f"dpz-{digits[start : start + 24]}" for start in range(0, len(digits), 24)]
        return self._ready.pop()


def read_context(
    headers: Mapping[str, str],
    *,
    pseudonym: Callable[[str, str], str],
    now: float,
    started: float,
    call_id: str,
    tenant: str = "default",
    end_user: str = "",
    recording: Recording = RECORDING,
    trace: TraceContext | None = None,
) -> Context:
    """The context of a call.

    Args:
        headers: lower-case names.
        pseudonym: (raw origin, tenant) -> pseudonym; the raw origin goes no further than this call.
        now: Unix seconds.
        started: perf_counter seconds.
        call_id: the id the call is to have.
        tenant: whose call it is, from the API key.
        end_user: who asked, as the body says (`end_user_of`); a header says it instead.
        recording: what is kept of calls where the header does not ask for less.
        trace: the span of the call.

    Raises:
        BadInput: an audience, route or way of recording that does not exist, or a name that is too long.
    """
    get = headers.get
    raw_origin = get("x-deputize-origin", "") or end_user
    audience = get("x-deputize-audience", "").lower()
    override = get("x-deputize-route", "").lower() or "auto"
    if audience not in ("", "human", "code"):
        raise BadInput("x-deputize-audience must be 'human' or 'code'.")
    if override not in ("llm", "slm", "auto"):
        raise BadInput("x-deputize-route must be 'llm', 'slm' or 'auto'.")
    agent, site = _name(headers, "x-deputize-agent"), _name(headers, "x-deputize-site")
    return Context(
        id=call_id,
        arrived_at=now,
        started=started,
        agent=agent,
        site=site,
        episode=_name(headers, "x-deputize-episode"),
        audience=audience or "unknown",  # type: ignore[arg-type]
        origin=pseudonym(raw_origin, tenant) if raw_origin else "",
        override=override,  # type: ignore[arg-type]
        tenant=tenant,
        trace=trace,
        record=recording.level(tenant=tenant, agent=agent, site=site, asked=record_wish(headers)),
    )


def record_wish(headers: Mapping[str, str]) -> Kept:
    """The level at which a request asks to be kept.

    Raises:
        BadInput: it asks for something else than there is.
    """
    wish = headers.get("x-deputize-record")
    if wish is None:
        return "full"
    for level in LEVELS:
        if wish.strip().lower() == level:
            return level
    raise BadInput("x-deputize-record must be 'off' (nothing is kept), 'metadata' (no texts) or 'full'.")


def end_user_of(fields: Mapping[str, Any]) -> str:
    """The end user whom a request's body names, as OpenAI's and Anthropic's requests do; "" where it names none."""
    for field in ("user", "safety_identifier"):
        named = fields.get(field)
        if named and isinstance(named, str):
            return named
    metadata = fields.get("metadata")
    named = metadata.get("user_id") if isinstance(metadata, dict) else None
    return named if isinstance(named, str) else ""


def without_end_user(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request as they are recorded: without the end user's id, of which the pseudonym is kept."""
    metadata = params.get("metadata")
    named = isinstance(metadata, dict) and "user_id" in metadata
    if not named and _END_USERS.isdisjoint(params):
        return params
    kept = {name: value for name, value in params.items() if name not in _END_USERS}
    if named:
        kept["metadata"] = {name: value for name, value in params["metadata"].items() if name != "user_id"}
    return kept


def _name(headers: Mapping[str, str], header: str) -> str:
    value = headers.get(header, "")
    if len(value) > _MAX_NAME:
        raise BadInput(f"{header} is longer than {_MAX_NAME} characters.")
    return value
