"""Erasing a person: their keys are destroyed, a tombstone stays, and specialists trained on their calls are named."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import msgspec

from deputize.core.errors import AccessDenied, BadInput, UsageError
from deputize.core.records import Record
from deputize.home import Home
from deputize.maintenance.lineage import (
    ClearTextCopy,
    TrainedOnErased,
    copies_with_erased,
    trained_on_erased,
)
from deputize.pipeline.run_erasure import forget_in_runs
from deputize.store.access.roles import Actor, Right, require
from deputize.store.base import Erased

_PSEUDONYM = re.compile(r"o_[0-9a-f]{32}")


class Erasure(Record, frozen=True):
    """Result of an erasure, and what is left to do about it."""

    erased: Erased
    trained_on: list[TrainedOnErased]
    """Specialists that were trained on the erased calls: to be retrained."""
    copies: list[ClearTextCopy] = msgspec.field(default_factory=list)
    """Files outside the home that hold them, with the erased calls each holds."""
    n_conversations: int = 0
    """Kept conversations of the responses API that went too."""


def erase_origin(home: Home, actor: Actor, origin: str, *, tenant: str = "default") -> Erasure:
    """Makes everything of one origin unreadable in the store: destroys its data keys and leaves a tombstone.

    The artifacts of runs are a second step (`forget_unless_busy`), older copies of the store a third (rotation).

    Args:
        home: the home; its audit log is written before anything is destroyed.
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
        home.audit.append("denied", actor=actor.name, tenant=tenant, detail={"right": Right.ERASE.value})
        raise
    if not origin:
        raise BadInput("An erasure needs an origin.")
    name = origin if _PSEUDONYM.fullmatch(origin) else home.keyring.pseudonym(origin, tenant)
    home.audit.append("erase", actor=actor.name, subject=name, tenant=tenant)
    n_conversations = 0
    if conversations := home.existing_conversations():
        with contextlib.closing(conversations):
            n_conversations = conversations.erase(tenant, name)
    erased = home.store.erase(name, tenant=tenant)
    return Erasure(
        erased=erased,
        trained_on=trained_on_erased(home),
        copies=copies_with_erased(home),
        n_conversations=n_conversations,
    )


def forget_unless_busy(home: Home, note: Callable[[str], None]) -> dict[str, int] | None:
    """Takes calls that are gone from the store out of the runs; a run at work does so itself when it ends.

    Args:
        home: the home.
        note: takes a sentence for the user.

    Returns:
        run -> examples taken out; None where a run is at work.
    """
    try:
        return forget_in_runs(home)
    except UsageError as error:
        note(f"{error} The run drops what is gone when it ends; then use this command once more.")
        return None
