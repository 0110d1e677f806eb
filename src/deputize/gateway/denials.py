"""Denials of the gateway in the audit log: gathered and counted, so that a flood of them is a few entries."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from deputize.core.errors import AccessDenied, DeputizeError, NotAuthenticated
from deputize.store.access.audit_log import AuditLog

log = logging.getLogger("deputize.gateway")

GATHER_S = 5.0
_MOST_KINDS = 50
"""Different denials in one round; further ones are counted together."""


class DenialLog:
    """Writes what was denied into the audit log: the first at once, those that follow together after some seconds."""

    def __init__(self, audit: AuditLog, *, gather_s: float = GATHER_S) -> None:
        self._audit, self._gather_s = audit, gather_s
        self._waiting: Counter[tuple[str, str, str]] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def note(self, error: DeputizeError, path: str, key_id: str = "") -> None:
        """Notes a refusal, where it is a denial."""
        if not isinstance(error, AccessDenied):
            return
        why = "not authenticated" if isinstance(error, NotAuthenticated) else "not allowed"
        kind = (key_id, path, why)
        if kind not in self._waiting and len(self._waiting) >= _MOST_KINDS:
            kind = ("", "*", why)
        self._waiting[kind] += 1
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._waiting:
            denied, self._waiting = self._waiting, Counter()
            await asyncio.get_running_loop().run_in_executor(None, self._write, denied)
            await asyncio.sleep(self._gather_s)
        self._writing = None

    def _write(self, denied: Counter[tuple[str, str, str]]) -> None:
        for (key_id, path, why), n_requests in denied.items():
            try:
                self._audit.append(
                    "denied",
                    actor=key_id or "gateway caller",
                    subject=path,
                    detail={"why": why, "n_requests": str(n_requests)},
                )
            except DeputizeError as error:
                log.error("a denial could not be noted in the audit log: %s", error)

    async def close(self) -> None:
        """Writes what waits."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        if self._waiting:
            denied, self._waiting = self._waiting, Counter()
            await asyncio.get_running_loop().run_in_executor(None, self._write, denied)


NoteDenial = Callable[[DeputizeError, str, str], None]
"""(error, path, key id) of a refused request."""
