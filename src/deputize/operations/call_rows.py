"""Recorded calls as JSON shows them: who answered, why, time and money; nothing of their texts."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

from deputize.core.records import Call
from deputize.pipeline.readiness import call_spend
from deputize.scoring.costs import Prices
from deputize.store.base import Store

RECENT_S = 3600.0
"""Where the last calls are looked for first, before the whole store is read."""


def last_calls(store: Store, tenant: str | None, n: int, now_s: float) -> list[Call]:
    """The newest calls of a tenant (None: of all), oldest first."""
    found: deque[Call] = deque(store.calls(since=now_s - RECENT_S, tenant=tenant), maxlen=n)
    if len(found) < n:
        found = deque(store.calls(tenant=tenant), maxlen=n)
    return list(found)


def call_row(call: Call, prices: Prices) -> dict[str, Any]:
    """A call as JSON shows it: nothing of its texts."""
    decision, spent = call.decision, call_spend(call, prices, os.cpu_count() or 1)
    return {
        "id": call.id,
        "at_s": call.timestamp,
        "tenant": call.tenant,
        "agent": call.agent,
        "site": call.site,
        "served_by": "slm" if spent.is_served else "llm",
        "reason": decision.reason if decision is not None else "",
        "route": decision.route_id if decision is not None else "",
        "model": call.model,
        "status": call.status,
        "ms": call.latency_ms,
        "usd": spent.specialist_usd if spent.is_served else spent.llm_usd,
        "saved_usd": spent.llm_usd - spent.specialist_usd if spent.is_served else 0.0,
    }
