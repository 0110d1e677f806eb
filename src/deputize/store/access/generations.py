"""Freshness of keyed files: the audit log knows the generation of each, so that an older copy of one is noticed.

A file under a MAC cannot be forged without the keys of the home, but a copy of it from last week is genuine as well. So
each change of a keyed file raises its generation, and the entry of the audit log about the change says so.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from hashlib import sha256
from typing import NoReturn, Protocol, TypeVar

from deputize.core.errors import Tampered
from deputize.store.access.audit_log import AuditEntry, AuditLog

ROUTES = "routes.json"
EVIDENCE = "audit_evidence.json"

NOTED_EVERY = 256
"""Writes of the evidence of audits between two entries about it in the audit log. It is written with each audited call;
an entry costs a signature and a write to the disk, and an older copy hides at most so many calls."""


class Generations:
    """The newest generation of each keyed file of a home."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._seen: dict[str, tuple[int, int]] = {}
        """File -> how far the log was read, and the generation found there."""

    def known(self, name: str) -> int:
        """The generation that the log knows of a file; 0 where it knows of none."""
        start, known = self._seen.get(name, (0, 0))
        end, entry = self._audit.latest("file", name, since=start)
        if entry is not None:
            known = max(known, generation_of(entry))
        self._seen[name] = (end, known)
        return known

    def is_newest(self, name: str, data: bytes) -> bool:
        """True where the newest entry about a file is about these bytes."""
        entry = self._audit.latest("file", name)[1]
        return entry is not None and entry.detail.get("sha256") == sha256(data).hexdigest()

    def doubt(self, name: str) -> str:
        """A reason why the log may have known a newer generation of a file than `known` says; "" where there is
        none."""
        return self._audit.doubt(self._audit.latest("file", name)[1])


def generation_detail(name: str, generation: int, data: bytes | None = None) -> dict[str, str]:
    """The detail of an entry about a change of a keyed file.

    Args:
        name: of the file.
        generation: of the new version.
        data: its bytes, where the file is to be exactly these.
    """
    digest = {} if data is None else {"sha256": sha256(data).hexdigest()}
    return {"file": name, "generation": str(generation), **digest}


def generation_of(entry: AuditEntry | None) -> int:
    """The generation that an entry says of a keyed file; 0 for none."""
    return int(entry.detail.get("generation", "0")) if entry is not None else 0


T = TypeVar("T")


class Shares(Protocol):
    """A home that shares its routes and API keys with others (store.published)."""

    def sending_first(self, work: Callable[[], T]) -> T:
        """Does `work`, which takes locks and calls `change`; again where something large has to be sent first, with no
        lock held. Raises StoreError, and nothing has changed then."""
        ...

    def change(self, work: Callable[[], T]) -> T:
        """Does `work`, which calls `publish` and then writes, on top of the newest version; again where another home
        was faster. Raises StoreError, and nothing has changed then."""
        ...

    def publish(self, *, routes: bytes | None = None, keys: bytes | None = None) -> int:
        """Publishes the bytes of a changed file, inside `change`; returns the version. Raises StoreError."""
        ...


def shares_nothing() -> Shares | None:
    """A home that shares nothing."""
    return None


class AuditedRoutes:
    """The versions of a home's route file by its audit log, whose entries are signed (routes_file.RouteFileSeal)."""

    def __init__(
        self, audit: Callable[[], AuditLog], shares: Callable[[], Shares | None] = shares_nothing
    ) -> None:
        """
        Args:
            audit: gives the log; called when it is needed, so that a home without routes needs no keys.
            shares: gives what publishes changes, None where the home shares nothing; called before a change.
        """
        self._audit, self._shares = audit, shares
        self._end, self._newest = 0, ("", 0)
        """How far the log was read, and (digest, generation) of the newest version found there."""
        self._refused = ""
        self._looking = threading.Lock()

    def sending_first(self, work: Callable[[], T]) -> T:
        shared = self._shares()
        return work() if shared is None else shared.sending_first(work)

    def change(self, work: Callable[[], T]) -> T:
        shared = self._shares()
        return work() if shared is None else shared.change(work)

    def note(self, generation: int, sha256: str, data: bytes) -> None:
        shared = self._shares()
        if shared is not None:
            shared.publish(routes=data)
        detail = {**generation_detail(ROUTES, generation), "sha256": sha256}
        self._audit().append("file.write", subject=ROUTES, detail=detail)

    def is_newest(self, sha256: str) -> bool:
        newest, _ = self._looked()
        return bool(newest) and newest == sha256

    def _looked(self) -> tuple[str, int]:
        with self._looking:
            self._end, entry = self._audit().latest("file", ROUTES, since=self._end)
            found = generation_of(entry)
            # never back: a log whose end was cut off is read again from its beginning
            if entry is not None and found >= self._newest[1]:
                self._newest = entry.detail.get("sha256", ""), found
            return self._newest

    def check(self, generation: int, sha256: str) -> None:
        newest, known = self._looked()
        if newest and newest == sha256:
            doubt = self._audit().doubt(self._audit().latest("file", ROUTES)[1])
            if not doubt:
                return
            how = f"may be an older copy, for the audit log is not whole ({doubt})"
        elif generation < known:
            how = f"is an older copy: its generation is {generation}, and the audit log knows {known}"
        else:
            how = "was written by another program"
        if self._refused != sha256:  # once, however often it is looked at
            self._refused = sha256
            self._audit().append("denied", subject=ROUTES, detail={"why": f"the route file {how}"})
        raise Tampered(
            f"{ROUTES} {how}, so no route of it is used. Put the newest copy back, or publish the routes again: "
            "deputize evaluate --again"
        )


class EvidenceSeal:
    """Signs the evidence of audits (gateway.evidence_file), and refuses a forged or an older copy.

    How old a copy may be: a process that has read a newer one refuses it, any other by the audit log, which knows the
    first write of each `NOTED_EVERY`.
    """

    def __init__(self, key: Callable[[], bytes], audit: Callable[[], AuditLog]) -> None:
        """
        Args:
            key: of the MAC; called when it is needed, so that a home without routes needs no keys.
            audit: the audit log, likewise.
        """
        self._key, self._audit = key, audit
        self._end, self._noted, self._newest = 0, 0, 0
        """How far the log was read, the newest write found there, and the newest one known."""
        self._refused, self._has_read = "", False
        self._looking = threading.Lock()

    def mac(self, data: bytes) -> str:
        """HMAC-SHA-256 under the home's key, in hexadecimal digits."""
        return hmac.digest(self._key(), data, "sha256").hex()

    def next_write(self) -> int:
        """The number of the next write; whoever asks has read the file and holds its lock. Raises StoreError."""
        return self.newest() + 1

    def note(self, n_writes: int) -> None:
        """After a write: the audit log is told of the first, and of each that is `NOTED_EVERY` later. Raises
        StoreError.

        Not before it: a process that is killed in between would leave a file older than the log says. What it did not
        tell the next write does.
        """
        with self._looking:
            self._newest = max(self._newest, n_writes)
            is_due = not self._noted or n_writes - self._noted >= NOTED_EVERY
        if is_due:
            self._audit().append("file.write", subject=EVIDENCE, detail=generation_detail(EVIDENCE, n_writes))

    def newest(self) -> int:
        """The newest write known; 0 where none is. A file that is read after this is as new, though others may
        write."""
        with self._looking:
            self._end, entry = self._audit().latest("file", EVIDENCE, since=self._end)
            if entry is not None:
                self._noted = generation_of(entry)
                self._newest = max(self._newest, self._noted)
            return self._newest

    def check(self, data: bytes, mac: str, n_writes: int, newest: int) -> None:
        """Raises Tampered unless `mac` is that of `data`, and the file is as new as it must be.

        Args:
            data: what is signed.
            mac: of the file.
            n_writes: its number.
            newest: the newest write that was known before it was read.
        """
        if not hmac.compare_digest(self.mac(data), mac):
            self._refuse("was written by another program")
        if n_writes < newest:
            self._refuse(f"is an older copy: it is write {n_writes} of at least {newest}")
        with self._looking:
            is_first, self._has_read = not self._has_read, True
            self._newest = max(self._newest, n_writes)
        # once a process: later ones know the newest write from what they have read
        if is_first and (doubt := self._audit().doubt(self._audit().latest("file", EVIDENCE)[1])):
            self._has_read = False
            self._refuse(f"may be an older copy, for the audit log is not whole ({doubt})")

    def check_missing(self, newest: int) -> None:
        """Raises Tampered where there was evidence before: `newest` as of before the file was looked for."""
        if newest:
            self._refuse("is missing")

    def _refuse(self, how: str) -> NoReturn:
        if self._refused != how:  # once, however often it is looked at
            self._refused = how
            self._audit().append("denied", subject=EVIDENCE, detail={"why": f"the evidence of audits {how}"})
        raise Tampered(
            f"{EVIDENCE} {how}, so it says nothing about any route. Put the newest copy back; else a gateway sets it aside "
            "as it starts, and the evidence of all routes begins again."
        )
