"""Retention: calls older than each tenant's limit leave the store, kept conversations and the runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from deputize.core.errors import BadInput, StoreError
from deputize.files import reason
from deputize.home import Home
from deputize.maintenance.erasure import RUNS_TO_CLEAN, forget_unless_busy
from deputize.store.access.roles import Actor, Right, require


def apply_retention(
    home: Home, actor: Actor, max_age_days: Mapping[str, float], *, now: float | None = None
) -> dict[str, int]:
    """Deletes calls and conversations that are older than each tenant's limit.

    Args:
        home: the home.
        actor: who does it.
        max_age_days: tenant -> days; "*" stands for all tenants that are not named, and without it they keep
            everything.
        now: Unix seconds, by default the clock's.

    Returns:
        tenant -> deleted calls.

    Raises:
        AccessDenied: the actor may not set retention.
        BadInput: a limit that is not positive.
    """
    at = time.time() if now is None else now
    limits = dict(max_age_days)
    others = limits.pop("*", None)
    if others is not None:
        limits = {**dict.fromkeys(home.store.tenants(), others), **limits}
    for tenant, days in limits.items():
        require(actor, Right.SET_RETENTION, tenant=tenant)
        if not days > 0:
            raise BadInput(f"The retention of {tenant} must be a positive number of days, not {days}.")
    conversations = home.existing_conversations()
    with contextlib.closing(conversations) if conversations else contextlib.nullcontext():
        out: dict[str, int] = {}
        for tenant, days in limits.items():
            before = at - days * 86400
            if conversations is not None:
                conversations.expire(tenant=tenant, before=before)
            out[tenant] = 0
            if home.store.older(tenant=tenant, before=before):
                home.audit.append(
                    "expire", actor=actor.name, tenant=tenant, detail={"max_age_days": f"{days:g}"}
                )
                out[tenant] = home.store.expire(tenant=tenant, before=before)
    return out


def retain(
    home: Home, actor: Actor, limits: Mapping[str, float], *, note: Callable[[str], None]
) -> tuple[dict[str, int], dict[str, int]]:
    """Applies retention limits to the store and to the runs.

    A mark in the home says from before the first deletion until the end that runs may hold what the store does not any
    more: whatever stops this in between, or keeps the runs busy, the next time goes on with them.

    Args:
        home: the home.
        actor: who does it.
        limits: tenant -> days, as in `apply_retention`.
        note: takes a sentence for the user.

    Returns:
        (tenant -> deleted calls, run -> examples taken out).

    Raises:
        AccessDenied, BadInput: as apply_retention.
        StoreError: something cannot be written.
    """
    mark = home.path / RUNS_TO_CLEAN
    was_stopped = mark.exists()
    try:
        mark.touch(mode=0o600)
        deleted = apply_retention(home, actor, limits)
        forgotten: dict[str, int] | None = {}
        if was_stopped or any(deleted.values()):
            forgotten = forget_unless_busy(home, note)
        else:
            mark.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{mark} cannot be written: {reason(error)}.") from error
    return deleted, forgotten or {}
