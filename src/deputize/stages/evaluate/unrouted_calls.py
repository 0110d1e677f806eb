"""Calls that no route fitted when they came, in a task whose route served others at the same time.

All of them have the LLM's answer; of the others only a share is in the population, since only so many were audited. So
the same share of these is drawn, or the population would hold more of them than the traffic has. Where the route was
not asked for again afterwards (the prompt has changed for good), they are the whole traffic from then on, and all of
them stay.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from hashlib import blake2b

from deputize.core.decision_reason import NOT_SERVING
from deputize.core.records import Call


@dataclass
class _RouteHistory:
    """Of one route: the share of its calls that the log has the LLM's answer for, and where that changed."""

    positions: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    last: int = -1
    """Position of its last call."""
    tasks: set[str] = field(default_factory=set)
    """Ids of the tasks that its calls belong to now."""

    def add(self, position: int, share: float) -> None:
        """Adds a call of the route."""
        if not self.shares or self.shares[-1] != share:
            self.positions.append(position)
            self.shares.append(share)
        self.last = position

    def share_at(self, position: int) -> float:
        """The share at a position; 1 before the first call of the route and after its last."""
        before = bisect_right(self.positions, position) - 1
        return self.shares[before] if before >= 0 and position < self.last else 1.0


class UnroutedCalls:
    """Follows a log call by call, and says then which of the calls without a route are beyond the traffic."""

    def __init__(self) -> None:
        self._routes: dict[str, _RouteHistory] = {}
        self._unrouted: list[tuple[int, str, str]] = []
        """(position, call id, task id)"""
        self._position = 0

    def see(self, call: Call) -> None:
        """Notes the next call of the log, whether it is in the population or not."""
        self._position += 1
        decision = call.decision
        if decision is None or not decision.route_id or decision.reason in ("override", "prompt_changed"):
            return
        share = 1.0 if decision.reason in NOT_SERVING else decision.audit_share or 0.0
        self._routes.setdefault(decision.route_id, _RouteHistory()).add(self._position, share)

    def belongs(self, call: Call, task_id: str) -> None:
        """Notes the task of the call that was seen last."""
        decision = call.decision
        if decision is None:
            return
        if not decision.route_id:
            self._unrouted.append((self._position, call.id, task_id))
        elif decision.route_id in self._routes:
            self._routes[decision.route_id].tasks.add(task_id)

    def beyond(self) -> frozenset[str]:
        """Ids of the calls that are in the population no more, once the log has been read."""
        return frozenset(
            id
            for position, id, task_id in self._unrouted
            if any(
                _unit(id) >= route.share_at(position)
                for route in self._routes.values()
                if task_id in route.tasks
            )
        )


def _unit(id: str) -> float:
    """A number in [0, 1) that depends on an id only."""
    digest = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"unrouted").digest()
    return int.from_bytes(digest, "big") / 2**64
