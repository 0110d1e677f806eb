"""Watching a live route by its audits: how soon a jump of the loss is found, how often a sound route is rolled back.

Simulated audits through the package's evidence (stages.refine.route_evidence, scoring.monitor), at the rate that a
certificate allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from deputize.scoring.monitor import (
    AUDITS_PER_FALSE_ROLLBACK,
    AuditEvidence,
    false_rollback_bound,
    must_roll_back,
    observe,
)

ALLOWED = 0.05
"""Loss of the served calls that the route may have."""
JUMPED = 0.15
AUDIT_SHARE = 0.02
N_CALLS = 50_000


def detection_row(n_runs: int, seed: int, n_before: int = 300, most: int = 3000) -> dict[str, Any]:
    """Audits until the rollback after the loss has jumped, with a sound past of `n_before` audits."""
    rng = np.random.default_rng(seed)
    delays = []
    for _ in range(n_runs):
        evidence = AuditEvidence(allowed=ALLOWED)
        for wrong in rng.random(n_before) < ALLOWED:
            evidence = observe(evidence, "s" if wrong else ".")
        delay = most
        for at, wrong in enumerate(rng.random(most) < JUMPED):
            evidence = observe(evidence, "s" if wrong else ".")
            if must_roll_back(evidence):
                delay = at + 1
                break
        delays.append(delay)
    median, ninety = np.percentile(delays, [50, 90])
    return {
        "loss before": ALLOWED,
        "loss after": JUMPED,
        "runs": n_runs,
        "audits at the median": float(median),
        "audits at 90 %": float(ninety),
        "calls at the median": float(median / AUDIT_SHARE),
    }


def false_rollback_rows(n_runs: int, seed: int) -> list[dict[str, Any]]:
    """Share of the sound routes that are rolled back within so many calls, next to what is promised."""
    out = []
    for rate in (ALLOWED, 0.8 * ALLOWED):
        rng = np.random.default_rng([seed, int(1000 * rate)])
        n_rolled = 0
        for _ in range(n_runs):
            n_audits = int(rng.binomial(N_CALLS, AUDIT_SHARE))
            evidence = AuditEvidence(allowed=ALLOWED)
            for wrong in rng.random(n_audits) < rate:
                evidence = observe(evidence, "s" if wrong else ".")
                if must_roll_back(evidence):
                    n_rolled += 1
                    break
        out.append(
            {
                "true loss": rate,
                "allowed": ALLOWED,
                "calls": N_CALLS,
                "audited": AUDIT_SHARE,
                "runs": n_runs,
                "rolled back": n_rolled / n_runs,
                "promised at most": false_rollback_bound(N_CALLS * AUDIT_SHARE, AUDITS_PER_FALSE_ROLLBACK),
            }
        )
    return out
