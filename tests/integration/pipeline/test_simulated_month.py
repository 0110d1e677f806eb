"""A month of 100,000 calls: the true loss is above epsilon no longer than it takes to find, and every event is
explained."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.pipeline.simulated_month import AUDIT_SHARE, EPSILON, N_CALLS, Month, simulate

from deputize.gateway.evidence_file import read_evidence

FOUND_WITHIN = 100
"""Audits: a jump from 5 to 15 % is found within so many at the median, and the jumps here are larger."""


def stretches(flags: list[bool]) -> list[tuple[int, int]]:
    """(begin, end) of each stretch of true flags."""
    out, begin = [], None
    for at, flag in enumerate([*flags, False]):
        if flag and begin is None:
            begin = at
        elif not flag and begin is not None:
            out.append((begin, at))
            begin = None
    return out


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_a_month(tmp_path: Path) -> None:
    month = await simulate(tmp_path)
    above = stretches([loss > EPSILON for loss in month.true_loss])
    for begin, end in above:
        audits = month.n_audits[min(end, N_CALLS - 1)] - month.n_audits[begin]
        assert audits <= FOUND_WITHIN, f"calls {begin} to {end} lost more than epsilon over {audits} audits"
        assert end - begin <= FOUND_WITHIN / AUDIT_SHARE
    assert [58_000 <= begin < 58_100 for begin, _ in above] == [True], "only the drift costs anything"
    assert month.n_wrong / N_CALLS <= EPSILON and month.n_served / N_CALLS > 0.5
    _what_the_audit_log_says(month)
    _what_the_decisions_say(month)


def _what_the_audit_log_says(month: Month) -> None:
    entries = [e for e in month.home.audit.entries() if e.action.startswith("route.")]
    log = [
        (
            e.action.removeprefix("route."),
            e.detail["specialist"].rpartition("-")[2],
            e.detail["state"],
            e.detail.get("share", ""),
        )
        for e in entries
    ]
    way_up = [("canary", "0.01"), ("canary", "0.05"), ("canary", "0.25"), ("live", "1")]
    expected = [("publish", "v1", "shadow", ""), *(("promote", "v1", *step) for step in way_up)]
    expected += [("publish", "v2", "shadow", ""), *(("promote", "v2", *step) for step in way_up)]
    expected += [("publish", "v3", "shadow", ""), ("rollback", "v3", "rolled_back", "")]
    expected += [("rollback", "v2", "rolled_back", "")]
    expected += [("publish", "v4", "shadow", ""), *(("promote", "v4", *step) for step in way_up)]
    expected += [("publish", "v5", "shadow", ""), *(("promote", "v5", *step) for step in way_up)]
    assert log == expected
    # evidence stands beside each change that the gateway made
    for entry in entries:
        if entry.action in ("route.promote", "route.rollback"):
            assert entry.actor == "gateway" and float(entry.detail["e_value"]) > 1 and entry.detail["because"]
    assert month.home.audit.verify().ok
    assert len(read_evidence(month.home.path, None)) == 5


def _what_the_decisions_say(month: Month) -> None:
    def of(begin: int, end: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for counted in month.reasons[begin // 1000 : end // 1000]:
            for reason, n in counted.items():
                found[reason] = found.get(reason, 0) + n
        return found

    assert set(of(0, 5_000)) == {"no_route"}
    assert of(5_000, 6_000)["shadow"] > 200
    outage = of(50_000, 51_000)
    # what the specialist is sure of is answered while the LLM is down; the audits that fail prove nothing
    assert outage["live"] > 850 and 0 < outage["unanswered"] < 100
    assert of(49_000, 58_000).keys() <= {"live", "below_threshold", "unanswered"}
    assert of(63_000, 64_000) == {"rolled_back": 1000}
    assert of(82_000, 84_000) == {"prompt_changed": 2000}, "a changed prompt closes the route at once"
    assert of(99_000, 100_000)["live"] > 850
