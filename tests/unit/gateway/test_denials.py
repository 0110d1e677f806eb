"""Denials in the audit log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from deputize.core.errors import AccessDenied, BadInput, NotAuthenticated
from deputize.gateway.denials import DenialLog
from deputize.home import Home


async def test_a_flood_of_denials_is_a_few_entries_that_count_them(tmp_path: Path) -> None:
    audit = Home(tmp_path).audit
    denials = DenialLog(audit, gather_s=30)
    denials.note(NotAuthenticated("no"), "/metrics")
    async with asyncio.timeout(20):
        while not list(audit.entries()):  # the first one is written at once
            await asyncio.sleep(0.01)
    for _ in range(1000):
        denials.note(NotAuthenticated("no"), "/metrics")
        denials.note(AccessDenied("no"), "/metrics", "0123456789ab")
        denials.note(BadInput("no denial"), "/metrics")
    for number in range(500):
        denials.note(AccessDenied("no"), "/metrics", f"{number:012x}")
    await denials.close()
    entries = list(audit.entries())
    assert {e.action for e in entries} == {"denied"} and len(entries) <= 52
    assert sum(int(e.detail["n_requests"]) for e in entries) == 2501
    assert ("0123456789ab", "/metrics", "1000") in {
        (e.actor, e.subject, e.detail["n_requests"]) for e in entries
    }
    assert audit.verify().ok
