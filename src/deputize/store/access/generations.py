"""Freshness of keyed files: the audit log knows the generation of each, so that an older copy of one is noticed.

A file under a MAC cannot be forged without the keys of the home, but a copy of it from last week is genuine as well. So
each change of a keyed file raises its generation, and the entry of the audit log about the change says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from deputize.core.errors import Tampered
from deputize.store.access.audit_log import AuditLog

ROUTES = "routes.json"


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
            known = max(known, int(entry.detail.get("generation", "0")))
        self._seen[name] = (end, known)
        return known


def generation_detail(name: str, generation: int) -> dict[str, str]:
    """The detail of an entry about a change of a keyed file."""
    return {"file": name, "generation": str(generation)}


class AuditedRoutes:
    """The versions of a home's route file by its audit log, whose entries are signed (routes_file.RouteFileSeal)."""

    def __init__(self, audit: Callable[[], AuditLog]) -> None:
        """`audit` gives the log; called when it is needed, so that a home without routes needs no keys."""
        self._audit = audit
        self._end, self._newest = 0, ("", 0)
        """How far the log was read, and (digest, generation) of the newest version found there."""
        self._refused = ""
        self._looking = threading.Lock()

    def note(self, generation: int, sha256: str) -> None:
        detail = {**generation_detail(ROUTES, generation), "sha256": sha256}
        self._audit().append("file.write", subject=ROUTES, detail=detail)

    def check(self, generation: int, sha256: str) -> None:
        audit = self._audit()
        with self._looking:
            self._end, entry = audit.latest("file", ROUTES, since=self._end)
            if entry is not None:
                self._newest = entry.detail.get("sha256", ""), int(entry.detail.get("generation", "0"))
            newest, known = self._newest
        if newest and newest == sha256:
            return
        how = (
            f"is an older copy: its generation is {generation}, and the audit log knows {known}"
            if generation < known
            else "was written by another program"
        )
        if self._refused != sha256:  # once, however often it is looked at
            self._refused = sha256
            audit.append("denied", subject=ROUTES, detail={"why": f"the route file {how}"})
        raise Tampered(
            f"{ROUTES} {how}, so no route of it is used. Put the newest copy back, or publish the routes again: "
            "deputize evaluate --again"
        )
