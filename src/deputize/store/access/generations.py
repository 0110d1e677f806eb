"""Freshness of keyed files: the audit log knows the generation of each, so that an older copy of one is noticed.

A file under a MAC cannot be forged without the keys of the home, but a copy of it from last week is genuine as well. So
each change of a keyed file raises its generation, and the entry of the audit log about the change says so.
"""

from __future__ import annotations

from deputize.store.access.audit_log import AuditLog


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
