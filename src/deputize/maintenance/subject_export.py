"""Everything that is stored of one person, for that person (GDPR, article 15)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.errors import AccessDenied, BadInput
from deputize.core.records import Call, Record
from deputize.gateway.conversations import Conversation
from deputize.home import Home
from deputize.maintenance.erasure import pseudonym_of
from deputize.maintenance.find_calls import FoundCalls, Wanted, find_calls, going_on_from
from deputize.maintenance.lineage import noted_copy, specialists_of
from deputize.store.access.roles import Actor, Right, require


class SubjectData(Record, frozen=True):
    """The data of one person in a home."""

    tenant: str
    origin: str
    """Pseudonym."""
    exported_at: float
    """Unix seconds."""
    calls: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """As they are stored, oldest first: what was sent, what was answered, and what was said of the outcome."""
    conversations: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """Kept conversations of the responses API in which the person has words, and nobody else."""
    n_shared: int = 0
    """Calls and conversations that are left out since others have words in them, or since a call may be theirs."""
    trained: dict[str, int] = msgspec.field(default_factory=dict)
    """Folder of a specialist -> how many of the calls it was trained on."""


def export_subject(
    home: Home, actor: Actor, origin: str, out: Path, *, tenant: str = "default"
) -> SubjectData:
    """Writes what is stored of an origin into a new file, and notes it in the audit log and among the copies.

    A person's right to a copy gives them nobody else's data (article 15, 4): calls that go on with what others said,
    or that others went on with, conversations of several people, and steps that name nobody in a run of several people
    are counted and left out.

    Args:
        home: the home.
        actor: who does it.
        origin: the raw id as the agent sends it, or the pseudonym.
        out: the file; it may not be there yet.
        tenant: whose calls.

    Raises:
        AccessDenied: the actor may not export a person's data.
        BadInput: no origin, or the file cannot be made.
        UsageError: calls in the file were erased while it was written.
        StoreError, Tampered: the store cannot be read.
    """
    try:
        require(actor, Right.EXPORT_SUBJECT, tenant=tenant)
    except AccessDenied:
        detail = {"right": Right.EXPORT_SUBJECT.value}
        home.audit.append("denied", actor=actor.name, tenant=tenant, detail=detail)
        raise
    if not origin:
        raise BadInput("An export needs an origin.")
    name = pseudonym_of(home, origin, tenant)
    home.audit.append("export.subject", actor=actor.name, subject=name, tenant=tenant)
    found = find_calls(home.store.calls(tenant=tenant), Wanted(origin=name))
    calls, n_shared = _own_calls(home, found, name, tenant)
    own_ids = {call.id for call in calls}
    conversations, n_shared_too = _conversations(home, name, tenant)
    data = SubjectData(
        tenant=tenant,
        origin=name,
        exported_at=home.now(),
        calls=[msgspec.to_builtins(call) for call in calls],
        conversations=conversations,
        n_shared=n_shared + n_shared_too,
        trained={s.path: n for s in specialists_of(home) if (n := len(own_ids.intersection(s.trained_on)))},
    )
    with noted_copy(home, out, "data of one person", actor.name) as ids:
        ids += sorted(own_ids)
        try:
            with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n")
        except OSError as error:
            raise BadInput(f"{out} cannot be made: {error.strerror}.") from error
    return data


def _own_calls(home: Home, found: FoundCalls, origin: str, tenant: str) -> tuple[list[Call], int]:
    """The calls of a person among those that were found, and how many others those are."""
    shared = {call.episode for call in home.store.calls(tenant=tenant) if call.origin not in ("", origin)} - {
        ""
    }
    calls = [call for call in home.store.calls(tenant=tenant) if call.id in found.call_ids]
    own = [c for c in calls if c.origin == origin or (not c.origin and c.episode not in shared)]
    own_ids = {call.id for call in own}
    of_others = {c.response_id for c in home.store.calls(tenant=tenant) if c.id not in own_ids} - {""}
    links = [(c.id, c.response_id, str(c.params.get("previous_response_id") or "")) for c in own]
    repeating = going_on_from(links, of_others)
    own = [call for call in own if call.id not in repeating]
    return own, len(calls) - len(own)


def _conversations(home: Home, origin: str, tenant: str) -> tuple[list[dict[str, Any]], int]:
    """The kept conversations of a person alone, and how many the person has with others."""
    kept = home.existing_conversations()
    if kept is None:
        return [], 0
    with contextlib.closing(kept):
        found = [msgspec.json.decode(data, type=Conversation) for data in kept.all(tenant)]
    own = [one for one in found if origin in one.origins and one.messages]
    alone = [{"messages": one.messages} for one in own if set(one.origins) == {origin}]
    return alone, len(own) - len(alone)
