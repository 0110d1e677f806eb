"""Erasing a person: their keys go, a tombstone stays, and what was learnt from them is named."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from deputize.core.errors import AccessDenied, BadInput
from deputize.core.records import Record
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import Actor, Right, require
from deputize.store.base import Erased, Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.lineage import ClearTextCopy, TrainedOnErased, affected, copies_with_erased
from deputize.store.sessions import ConversationStore, existing_sessions

_PSEUDONYM = re.compile(r"o_[0-9a-f]{32}")


class Erasure(Record, frozen=True):
    """What was erased, and what is left to do about it."""

    erased: Erased
    taught: list[TrainedOnErased]
    """Specialists that learnt from the erased calls: to be retrained."""
    copies: list[ClearTextCopy] = msgspec.field(default_factory=list)
    """Files outside the home that hold them, with the erased calls each holds."""
    n_sessions: int = 0
    """Kept conversations of the responses API that went too."""


def erase_origin(
    home: Path,
    keyring: KeyRing,
    store: Store,
    audit: AuditLog,
    actor: Actor,
    origin: str,
    *,
    tenant: str = "default",
) -> Erasure:
    """Makes everything of one origin unreadable: destroys its data keys and leaves a tombstone.

    Args:
        home: the home folder.
        keyring: its keys.
        store: its store.
        audit: its audit log; written before anything is destroyed.
        actor: who does it.
        origin: the pseudonym, or the raw id as the agent sends it (which is not kept anywhere).
        tenant: whose data subject it is.

    Raises:
        AccessDenied: the actor may not erase.
        BadInput: an empty origin.
        StoreError: it could not be done; nothing was erased.
    """
    try:
        require(actor, Right.ERASE, tenant=tenant)
    except AccessDenied:
        audit.append("denied", actor=actor.name, tenant=tenant, detail={"right": Right.ERASE.value})
        raise
    if not origin:
        raise BadInput("An erasure needs an origin.")
    name = origin if _PSEUDONYM.fullmatch(origin) else keyring.pseudonym(origin, tenant)
    audit.append("erase", actor=actor.name, subject=name, tenant=tenant)
    n_sessions = 0
    if sessions := existing_sessions(home, keyring):
        try:
            n_sessions = sessions.erase(tenant, name)
        finally:
            sessions.close()
    erased = store.erase(name, tenant=tenant)
    return Erasure(
        erased=erased,
        taught=affected(home, store, keyring),
        copies=copies_with_erased(home, keyring, store),
        n_sessions=n_sessions,
    )


def apply_retention(
    store: Store,
    audit: AuditLog,
    actor: Actor,
    max_age_days: Mapping[str, float],
    *,
    now: float | None = None,
    sessions: ConversationStore | None = None,
) -> dict[str, int]:
    """Deletes what is older than each tenant's limit.

    Args:
        store: the store.
        audit: its audit log.
        actor: who does it.
        max_age_days: tenant -> days; "*" stands for all tenants that are not named, and without it they keep everything.
        now: Unix seconds, by default the clock's.
        sessions: kept conversations, which the same limits hold for.

    Returns:
        tenant -> deleted calls.

    Raises:
        AccessDenied: the actor may not set retention.
        BadInput: a limit that is not positive.
    """
    at = time.time() if now is None else now
    max_age_days = dict(max_age_days)
    others = max_age_days.pop("*", None)
    if others is not None:
        max_age_days = {**dict.fromkeys(store.tenants(), others), **max_age_days}
    for tenant, days in max_age_days.items():
        require(actor, Right.SET_RETENTION, tenant=tenant)
        if not days > 0:
            raise BadInput(f"The retention of {tenant} must be a positive number of days, not {days}.")
    out: dict[str, int] = {}
    for tenant, days in max_age_days.items():
        if sessions is not None:
            sessions.expire(tenant=tenant, before=at - days * 86400)
        if not store.older(tenant=tenant, before=at - days * 86400):
            out[tenant] = 0
            continue
        audit.append("expire", actor=actor.name, tenant=tenant, detail={"max_age_days": f"{days:g}"})
        out[tenant] = store.expire(tenant=tenant, before=at - days * 86400)
    return out
