"""Erasing a person: their keys are destroyed, a tombstone stays, and specialists trained on their calls are named."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection
from functools import partial

import msgspec
from msgspec import structs

from deputize.core.errors import AccessDenied, BadInput, StoreError, Tampered, UsageError
from deputize.core.records import Record, Route, RouteFile
from deputize.files import empty_log, reason
from deputize.gateway.conversations import Conversation
from deputize.home import Home
from deputize.maintenance.find_calls import FoundCalls, Wanted, check_wanted, find_calls, text_finder
from deputize.maintenance.lineage import (
    ClearTextCopy,
    TrainedOnErased,
    copies_with_erased,
    trained_on_erased,
)
from deputize.pipeline.route_words import drop_unshared_words
from deputize.pipeline.run_erasure import forget_in_runs
from deputize.routes_file import update_routes
from deputize.store.access.roles import Actor, Right, require
from deputize.store.base import Erased

UNFINISHED = "erasure.pending"
"""In a home: an erasure has begun, and older copies of what it destroyed may still be readable."""
RUNS_TO_CLEAN = "forget.pending"
"""In a home: runs may hold what the store does not any more."""
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
    n_looked_at: int = 0
    """Calls of the tenant that were looked through."""
    was_stopped: bool = False
    """An erasure before this one was stopped before its end."""

    @property
    def is_empty(self) -> bool:
        """True where nothing was destroyed, so that older copies hold no more of anybody than they may."""
        destroyed = self.erased.call_ids or self.erased.n_keys or self.n_conversations
        return not destroyed and not self.was_stopped


def pseudonym_of(home: Home, origin: str, tenant: str) -> str:
    """The pseudonym of an origin as the agent sends it; a pseudonym stays as it is, and so does ""."""
    if not origin or _PSEUDONYM.fullmatch(origin):
        return origin
    return home.keyring.pseudonym(origin, tenant)


def erase(home: Home, actor: Actor, wanted: Wanted, *, tenant: str = "default") -> Erasure:
    """Makes everything that is wanted unreadable in the store, and of an origin also destroys its data keys and leaves
    a tombstone.

    The artifacts of runs are a second step (`forget_unless_busy`), older copies of the store a third (rotation); the
    caller says when all is done (`end_erasure`). Marks in the home say from before anything is destroyed what is still
    to be done, whatever stops this in between.

    Args:
        home: the home; its audit log is written before anything is destroyed.
        actor: who does it.
        wanted: what is erased; the origin may be raw.
        tenant: whose calls.

    Raises:
        AccessDenied: the actor may not erase.
        BadInput: nothing is wanted, or a part of it says nothing.
        StoreError: it could not be done.
    """
    try:
        require(actor, Right.ERASE, tenant=tenant)
    except AccessDenied:
        home.audit.append("denied", actor=actor.name, tenant=tenant, detail={"right": Right.ERASE.value})
        raise
    check_wanted(wanted)
    wanted = structs.replace(wanted, origin=pseudonym_of(home, wanted.origin, tenant))
    asked = {
        "episodes": len(wanted.episodes),
        "conversation": len(wanted.conversation),
        "texts": len(wanted.texts),
    }
    detail = {name: str(1 if name == "conversation" else n) for name, n in asked.items() if n}
    home.audit.append("erase", actor=actor.name, subject=wanted.origin, tenant=tenant, detail=detail)
    was_stopped = _begin_erasure(home)
    found = find_calls(home.store.calls(tenant=tenant), wanted)
    n_conversations = _erase_conversations(home, wanted, found, tenant)
    store = home.store
    done = store.erase(wanted.origin, tenant=tenant) if wanted.origin else None
    gone = set(done.call_ids) if done is not None else set()
    rest = store.erase_calls(found.call_ids - gone, tenant=tenant, episodes=found.episodes)
    erased = Erased(
        tenant=tenant,
        origin=wanted.origin,
        erased_at=done.erased_at if done is not None else home.now(),
        call_ids=sorted({*gone, *rest}),
        n_keys=done.n_keys if done is not None else 0,
    )
    empty_logs(home)
    return Erasure(
        erased=erased,
        trained_on=trained_on_erased(home),
        copies=copies_with_erased(home),
        n_conversations=n_conversations,
        n_looked_at=found.n_looked_at,
        was_stopped=was_stopped,
    )


def _begin_erasure(home: Home) -> bool:
    """Marks that an erasure has begun; True where an earlier one did not come to its end.

    Raises:
        StoreError: the mark cannot be written.
    """
    mark = home.path / UNFINISHED
    try:
        was_stopped = mark.exists()
        for path in (mark, home.path / RUNS_TO_CLEAN):
            path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"{mark} cannot be written: {reason(error)}.") from error
    return was_stopped


def end_erasure(home: Home) -> None:
    """Takes the mark away: what older copies hold cannot be read any more, or was to be kept."""
    (home.path / UNFINISHED).unlink(missing_ok=True)


def _erase_conversations(home: Home, wanted: Wanted, found: FoundCalls, tenant: str) -> int:
    """Deletes kept conversations of the person, those that others went on with, and those with a text; how many."""
    # also where none are kept: an answer that is under way may be the first
    conversations = home.conversations() if wanted.origin else home.existing_conversations()
    if conversations is None:
        return 0
    has_text = text_finder(wanted.texts)

    def is_wanted(data: bytes) -> bool:
        try:
            kept = msgspec.json.decode(data, type=Conversation)
        except msgspec.DecodeError:  # of another version: nothing can be told of it
            return False
        return bool(wanted.origin and wanted.origin in kept.origins) or has_text(kept.messages)

    with contextlib.closing(conversations):
        n_own = conversations.erase(tenant, wanted.origin) if wanted.origin else 0
        return n_own + conversations.erase_matching(tenant, is_wanted, found.response_ids)


def empty_logs(home: Home) -> None:
    """Empties what may quote a text although no call is kept there: the workers' log and the traces of errors.

    Raises:
        StoreError: a file cannot be written.
    """
    try:
        if not home.traces_path.is_symlink():  # none of ours lie where a link leads
            for trace in home.traces_path.glob("*.trace"):
                trace.unlink(missing_ok=True)
        empty_log(home.path / "engine.log")
    except OSError as error:
        raise StoreError(f"{error.filename} cannot be emptied: {reason(error)}.") from error


def close_routes(home: Home, actor: Actor, folders: Collection[str], because: str) -> list[Route]:
    """Closes the routes of these specialists, those of challengers and of versions to go back to included.

    Returns:
        The routes that served until now.

    Raises:
        BadInput, Tampered, StoreError: as routes_file.update_routes.
    """
    file = home.routes()
    ended = [
        r
        for r in (*file.routes, *file.challengers)
        if r.specialist in folders and r.state not in ("closed", "rolled_back")
    ]
    if ended or any(r.specialist in folders for r in file.previous):
        update_routes(home.routes_path, partial(_without, folders=folders), home.routes_seal)
    for route in ended:
        detail = {"specialist": route.specialist, "because": because}
        home.audit.append(
            "route.close", actor=actor.name, subject=route.id, tenant=route.tenant, detail=detail
        )
    return ended


def _without(file: RouteFile, folders: Collection[str]) -> RouteFile:
    routes = [
        structs.replace(r, state="closed", share=1.0)
        if r.specialist in folders and r.state not in ("closed", "rolled_back")
        else r
        for r in file.routes
    ]
    return structs.replace(
        file,
        routes=routes,
        challengers=[r for r in file.challengers if r.specialist not in folders],
        previous=[r for r in file.previous if r.specialist not in folders],
    )


def forget_unless_busy(home: Home, note: Callable[[str], None]) -> dict[str, int] | None:
    """Takes calls that are gone from the store out of the runs; a run at work does so itself when it ends. Where one is
    at work, or this is stopped, a mark stays, and the next erasure, `retention` or `watch` goes on with it.

    Args:
        home: the home.
        note: takes a sentence for the user.

    Returns:
        run -> examples taken out; None where a run is at work.
    """
    mark = home.path / RUNS_TO_CLEAN
    try:
        mark.touch(mode=0o600)
        done = forget_in_runs(home)
        try:
            drop_unshared_words(home, done)
        except (BadInput, Tampered) as error:
            note(f"{error} Words of erased calls may stand in it until then.")
        mark.unlink(missing_ok=True)
    except UsageError as error:
        note(f"{error} The run drops what is gone when it ends; then use this command once more.")
        return None
    except OSError as error:
        raise StoreError(f"{mark} cannot be written: {reason(error)}.") from error
    return done
