"""A sample of a log that has the composition of its traffic, although specialists answered a part of it.

A specialist's answer shows nothing of what the LLM does. Of the calls that a route served, the log holds the LLM's answer
for those that were audited only, a random share q. The calls that the same route left to the LLM are all there, and they
are the hard ones. So of these a share q is drawn as well, each by the share that was audited at its moment: then a call of
the traffic is in the sample with the same probability whoever answered it. Calibration and test are split from the
sample; what it leaves out may be trained on.

Calls are drawn one by one, not by episode, since audits are: a served and an unserved call of one episode get in with the
same probability and independently. Groups stay whole in the split; the units of a certificate are drawn from the calls
of the sample in a group. The draw is a hash of the call's id, so that every run over the same log draws the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple

from deputize.core.records import Call, Decision

NOT_SERVING = ("closed", "rolled_back", "shadow")
"""Reasons of decisions at a route that serves nothing: all its calls have the LLM's answer."""


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


def sampled_share(decision: Decision | None) -> float:
    """The probability with which a call of this kind has the LLM's answer in the log, were it one that is served.

    1 where no specialist could serve it; 0 where one could and nothing says how many of the served were audited.
    """
    if decision is None or not decision.route_id or decision.reason in NOT_SERVING:
        return 1.0
    return decision.audit_share or 0.0


def is_drawn(call: Call) -> bool:
    """True for a call, answered by the LLM, that is in the sample."""
    if call.decision is not None and call.decision.reason == "audit":
        return True
    share = sampled_share(call.decision)
    return share >= 1.0 or _unit(call.id) < share


def traffic_sample(calls: Iterable[Call]) -> TrafficSample:
    """The sample of a log; read once, as a stream.

    Args:
        calls: every call, those that specialists answered and second answers included.
    """
    training_only: set[str] = set()
    audit_of: dict[str, str] = {}
    audit_by_call: dict[str, str] = {}
    second: list[tuple[str, str]] = []
    n_served = 0
    for call in calls:
        decision = call.decision
        if decision is None:
            continue
        if decision.served_by == "slm":
            n_served += 1
        elif decision.reason == "audit":
            audit_of[call.id] = decision.audit_of
            if decision.audit_of:
                audit_by_call[decision.audit_of] = call.id
        elif decision.reason == "audit_repeat":
            second.append((decision.audit_of, call.id))
        elif not is_drawn(call):
            training_only.add(call.id)
    repeated: dict[str, tuple[str, ...]] = {}
    for served, id in second:
        if audit := audit_by_call.get(served):
            repeated[audit] = (*repeated.get(audit, ()), id)
    return TrafficSample(frozenset(training_only), repeated, audit_of, n_served, len(audit_of))


def _unit(id: str) -> float:
    """A number in [0, 1) that depends on an id only."""
    digest = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"traffic").digest()
    return int.from_bytes(digest, "big") / 2**64
