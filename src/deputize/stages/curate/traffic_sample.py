"""A sample of a log that has the composition of its traffic, although specialists answered a part of it.

A specialist's answer shows nothing of what the LLM does. Of the calls that a route served, the log holds the LLM's
answer for those that were audited only, a random share q. The calls that the same route left to the LLM are all there,
and they are the hard ones. So of these a share q is drawn as well: then a call of the traffic is in the sample with the
same probability whoever answered it. Calibration and test are split from the sample; what it leaves out may be trained
on.

q is the share of the served calls whose audit is in the log. It is counted, for audits fail, are skipped under load or
end with their process; and it is counted by stretches of the log, for they fail at some times more than at others.

A call whose model the caller chose is not in the sample: the gateway did not decide about it.

Calls with a changed prompt are drawn like the others of the route that they are nearest to, as long as it goes on being
asked. Those after its last call are all in the sample: from then on they are the whole traffic.

Calls are drawn one by one, not by episode, since audits are: a served and an unserved call of one episode get in with
the same probability and independently. Groups stay whole in the split; the units of a certificate are drawn from the
calls of the sample in a group. The draw is a hash of the call's id, so that every run over the same log draws the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple

from deputize.core.decision_reason import NOT_SERVING
from deputize.core.records import Call, Decision

DUE_OF_STRETCH, MIN_DUE = 40, 20
"""Audits that are due in a stretch before the next begins; where fewer than MIN_DUE are, the share that was set
counts."""


class TrafficSample(NamedTuple):
    """Which calls are in the sample, and the LLM's second answers to audited calls."""

    training_only: frozenset[str] = frozenset()
    """Ids of calls that the LLM answered and the sample leaves out."""
    repeated: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Id of an audit -> ids of the LLM's further answers to it."""
    audit_of: Mapping[str, str] = MappingProxyType({})
    """Id of an audit -> id of the call that was served."""
    n_served: int = 0
    """Calls that specialists answered."""
    n_audits: int = 0
    """Of them, those with the LLM's answer too."""
    n_overridden: int = 0
    """Calls that the LLM answered because their caller asked for it."""
    after_change: frozenset[str] = frozenset()
    """Ids of calls with a changed prompt after the last that their route could answer; all are in the sample."""


@dataclass
class _Stretch:
    """Successive calls of a route that were audited by the same share."""

    share: float
    before: _Stretch | None = None
    """The stretch before, of the same share."""
    n_served: int = 0
    n_audits: int = 0
    left: list[str] = field(default_factory=list)
    """Ids of calls that were left to the LLM."""

    @property
    def n_due(self) -> float:
        return self.share * self.n_served

    def audited_share(self) -> float:
        """The share of the served calls that the log has the LLM's answer for."""
        n_served, n_audits = self.n_served, self.n_audits
        if self.n_due < MIN_DUE and self.before is not None:
            n_served, n_audits = n_served + self.before.n_served, n_audits + self.before.n_audits
        if self.share * n_served < MIN_DUE:
            return self.share
        return min(1.0, n_audits / n_served)


class _RouteTraffic:
    """The calls of one route."""

    def __init__(self) -> None:
        self.stretches: list[_Stretch] = []
        self._now: dict[float, _Stretch] = {}
        """By share: workers may differ while settings change."""
        self.changed: list[str] = []
        """Ids of calls with a changed prompt since the last that the route could answer."""

    def stretch(self, decision: Decision) -> _Stretch:
        """The stretch that a call belongs to which the route could answer."""
        share = decision.audit_share or 0.0
        now = self._now.get(share)
        if now is None or now.n_due >= DUE_OF_STRETCH:
            now = self._now[share] = _Stretch(share, now)
            self.stretches.append(now)
        now.left += self.changed
        self.changed = []
        return now


def traffic_sample(calls: Iterable[Call]) -> TrafficSample:
    """The sample of a log; read once, as a stream.

    Args:
        calls: every call, those that specialists answered and second answers included.
    """
    overridden: set[str] = set()
    audit_of: dict[str, str] = {}
    audit_by_call: dict[str, str] = {}
    beside: set[str] = set()
    second: list[tuple[str, str]] = []
    routes: dict[str, _RouteTraffic] = {}
    n_served = 0
    for call in calls:
        decision = call.decision
        if decision is None:
            continue
        n_served += decision.served_by == "slm"
        if decision.reason == "shadow" or decision.challenger is not None:
            beside.add(call.id)
        if decision.reason == "override":
            if decision.served_by == "llm":
                overridden.add(call.id)
        elif decision.reason == "audit_repeat":
            second.append((decision.audit_of, call.id))
        elif decision.reason == "audit":
            audit_of[call.id] = decision.audit_of
            if decision.audit_of:
                audit_by_call[decision.audit_of] = call.id
            _route(routes, decision).stretch(decision).n_audits += 1
        elif decision.route_id and decision.reason not in NOT_SERVING:
            _add(_route(routes, decision), call, decision)
    repeated: dict[str, tuple[str, ...]] = {}
    for first, id in second:
        # the first answer is an audit of a served call, or beside a specialist in shadow the call itself
        if answered := audit_by_call.get(first, first if first in beside else ""):
            repeated[answered] = (*repeated.get(answered, ()), id)
    stretches = [stretch for route in routes.values() for stretch in route.stretches]
    return TrafficSample(
        training_only=frozenset(overridden).union(*map(_not_drawn, stretches)),
        repeated=repeated,
        audit_of=audit_of,
        n_served=n_served,
        n_audits=len(audit_of),
        n_overridden=len(overridden),
        after_change=frozenset(id for route in routes.values() for id in route.changed),
    )


def _route(routes: dict[str, _RouteTraffic], decision: Decision) -> _RouteTraffic:
    return routes.setdefault(decision.route_id, _RouteTraffic())


def _add(route: _RouteTraffic, call: Call, decision: Decision) -> None:
    """Adds a call of a route that serves."""
    if decision.served_by == "slm":
        # an answer that was cut off is not audited
        route.stretch(decision).n_served += not call.aborted and call.status < 400
    elif decision.reason == "prompt_changed":
        route.changed.append(call.id)
    else:
        route.stretch(decision).left.append(call.id)


def _not_drawn(stretch: _Stretch) -> list[str]:
    share = stretch.audited_share()
    return [id for id in stretch.left if _unit(id) >= share]


def _unit(id: str) -> float:
    """A number in [0, 1) that depends on an id only."""
    digest = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"traffic").digest()
    return int.from_bytes(digest, "big") / 2**64
