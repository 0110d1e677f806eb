"""Approvals of raw exports, which need two people: one asks, another approves, the first exports, once.

Both show API keys; whoever holds the home cannot ask or approve without one. Two keys are taken for two people unless
the people they come from, back to the local user who made the first key, have somebody in common: whoever makes a key
has had it in hand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deputize.core.errors import AccessDenied, BadInput, NotAuthenticated
from deputize.core.records import Record
from deputize.files import locked
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.local_user import ANYBODY
from deputize.store.access.roles import Actor, Right, Role, require
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_sealed, write_sealed

VALID_S = 24 * 3600.0
"""How long a request, and after it an approval, holds."""


class ExportRequest(Record, frozen=True):
    """Request for a raw export, and how far it has come."""

    id: str
    asked_by: str
    tenant: str
    purpose: str
    asked_at: float
    approved_by: str = ""
    approved_at: float | None = None
    used_at: float | None = None
    issuer_chain: tuple[str, ...] = ()
    """The keys that the asker's key came from."""


def _require_key(actor: Actor) -> None:
    """Raises AccessDenied for somebody who holds the home and shows no API key."""
    if actor.role == Role.OWNER.value:
        raise AccessDenied(
            f"A raw export takes two API keys that different people made; {actor.name} shows none (set DEPUTIZE_KEY)."
        )


class _Requests(Record, frozen=True):
    requests: list[ExportRequest] = msgspec.field(default_factory=list)


class Approvals:
    """The requests of one home, sealed in HOME/exports.sealed."""

    def __init__(
        self,
        home: Path,
        keyring: KeyRing,
        audit: AuditLog,
        *,
        open_key: Callable[[str], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            home: the home folder.
            keyring: its keys.
            audit: its audit log.
            open_key: raises NotAuthenticated for the id of a key that is not open (any more), as ApiKeys.open_key.
            clock: Unix seconds.
        """
        self._open_key = open_key
        self._path, self._keyring, self._audit, self._clock = home / "exports.sealed", keyring, audit, clock

    def all(self) -> tuple[ExportRequest, ...]:
        """All requests, oldest first."""
        return tuple(self._load())

    def ask(self, actor: Actor, *, tenant: str, purpose: str) -> ExportRequest:
        """A new request.

        Raises:
            AccessDenied: the actor may not export raw text.
            BadInput: no purpose is given.
        """
        with self._denials_noted(actor, ""):
            _require_key(actor)
            require(actor, Right.EXPORT_RAW, tenant=tenant)
        if not purpose.strip():
            raise BadInput("A raw export needs a purpose that the second person can judge.")
        made = ExportRequest(
            id="x_" + os.urandom(6).hex(),
            asked_by=actor.name,
            tenant=tenant,
            purpose=purpose,
            asked_at=self._clock(),
            issuer_chain=actor.issuer_chain,
        )
        with locked(self._path):
            self._log("export.ask", actor, made)
            self._save([*self._load(), made])
        return made

    def approve(self, actor: Actor, id: str) -> ExportRequest:
        """The second person's yes.

        Raises:
            AccessDenied: the actor may not approve, or asked for it.
            BadInput: no such request, or it is too old, or was approved already.
        """
        with locked(self._path), self._denials_noted(actor, id):
            _require_key(actor)
            found = self._find(id)
            require(actor, Right.APPROVE_EXPORT, tenant=found.tenant)
            if actor.name == found.asked_by:
                raise AccessDenied(
                    f"{actor.name} asked for the export {id}: somebody else has to approve it."
                )
            # one person may hold two keys: whoever made a key has had it in hand
            mine, theirs = {actor.name, *actor.issuer_chain}, {found.asked_by, *found.issuer_chain}
            if ANYBODY in mine | theirs:
                raise AccessDenied(
                    f"{actor.name} and {found.asked_by} may be one person, for a key of theirs was made by root without a login, or "
                    "in a user namespace, where the system does not say who it was: make both as people who logged in."
                )
            if shared := mine & theirs:
                raise AccessDenied(
                    f"{actor.name} and {found.asked_by} may be one person, for both keys come from {sorted(shared)[0]}: "
                    "somebody has to approve whose key another person made."
                )
            if found.approved_at is not None:
                raise BadInput(f"The export {id} was approved already.")
            if self._clock() - found.asked_at > VALID_S:
                raise BadInput(f"The export {id} was asked for more than a day ago; ask again.")
            return self._replace(
                "export.approve",
                actor,
                msgspec.structs.replace(found, approved_by=actor.name, approved_at=self._clock()),
            )

    def use(self, actor: Actor, id: str) -> ExportRequest:
        """Takes the approval, just before the export; it holds once.

        Raises:
            AccessDenied: not approved, used up, too old, asked for by somebody else, or approved with a key that was
                revoked since.
            BadInput: no such request.
            KeysUnknown: it cannot be told whether that key is open.
        """
        with locked(self._path), self._denials_noted(actor, id):
            _require_key(actor)
            found = self._find(id)
            require(actor, Right.EXPORT_RAW, tenant=found.tenant)
            if actor.name != found.asked_by:
                raise AccessDenied(f"The export {id} was asked for by somebody else.")
            if found.approved_at is None:
                raise AccessDenied(f"The export {id} waits for a second person to approve it.")
            self._check_log(found)
            self._check_approver(found)
            if found.used_at is not None or self._clock() - found.approved_at > VALID_S:
                raise AccessDenied(
                    f"The approval of the export {id} is used up or older than a day; ask again."
                )
            return self._replace("export.raw", actor, msgspec.structs.replace(found, used_at=self._clock()))

    @contextmanager
    def _denials_noted(self, actor: Actor, id: str) -> Iterator[None]:
        try:
            yield
        except AccessDenied as error:
            self._audit.append("denied", actor=actor.name, subject=id, detail={"why": str(error)})
            raise

    def _replace(self, action: str, actor: Actor, new: ExportRequest) -> ExportRequest:
        self._log(action, actor, new)
        self._save([new if r.id == new.id else r for r in self._load()])
        return new

    def _find(self, id: str) -> ExportRequest:
        for request in self._load():
            if request.id == id:
                return request
        raise BadInput(f"There is no export request {id!r}.")

    def _log(self, action: str, actor: Actor, request: ExportRequest) -> None:
        detail = {"request": request.id}
        self._audit.append(action, actor=actor.name, subject=request.id, tenant=request.tenant, detail=detail)

    def _check_log(self, request: ExportRequest) -> None:
        """Raises AccessDenied unless the approval is the newest that the audit log says of a request: an older copy of
        the file of requests knows of no use."""
        _, entry = self._audit.latest("request", request.id)
        if doubt := self._audit.doubt(entry):
            raise AccessDenied(
                f"The export {request.id} cannot be told from one that was used, for the audit log is not whole ({doubt}). Ask again."
            )
        if entry is None or entry.action != "export.approve":
            raise AccessDenied(
                f"The approval of the export {request.id} is used up, as the audit log knows; ask again."
            )

    def _check_approver(self, request: ExportRequest) -> None:
        """Raises AccessDenied where the key that approved is not open any more: who had it may not have been its
        owner."""
        try:
            self._open_key(request.approved_by)
        except NotAuthenticated:
            raise AccessDenied(
                f"The export {request.id} was approved with the key {request.approved_by}, which was revoked or has expired since; ask"
                " again."
            ) from None

    def _load(self) -> list[ExportRequest]:
        if not self._path.exists():
            return []
        return read_sealed(self._path, _Requests, self._keyring).requests

    def _save(self, requests: list[ExportRequest]) -> None:
        write_sealed(self._path, _Requests(requests=requests), self._keyring)
