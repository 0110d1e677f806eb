"""Watching a live route by its audits: how soon a jump of the loss is found, how often a sound route is rolled back.

Simulated audits through the package's evidence (stages.refine.route_evidence, scoring.monitor), at the rate that a
certificate allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from deputize.scoring.monitor import (
    AUDITS_PER_FALSE_ROLLBACK,
    AuditEvidence,
    false_rollback_bound,
    log_gain,
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


MakesEpisode = Callable[[np.random.Generator], list[bool]]
"""Losses of the calls of one episode, in their order."""


def _equal(rate: float, n_calls: int) -> MakesEpisode:
    return lambda rng: [bool(rng.random() < rate)] * n_calls


def _independent(rate: float, n_calls: int) -> MakesEpisode:
    return lambda rng: [bool(x) for x in rng.random(n_calls) < rate]


def _short_are_hard(rng: np.random.Generator) -> list[bool]:
    """.048 of the calls are wrong; in the mean over episodes .12."""
    return [bool(rng.random() < 0.2)] if rng.random() < 0.5 else [bool(x) for x in rng.random(10) < 0.033]


def _easy_beginnings(rng: np.random.Generator) -> list[bool]:
    """.05 of the calls are wrong, none of the first three of six."""
    return [False] * 3 + [bool(rng.random() < 0.1)] * 3


def _ragged(rate: float) -> MakesEpisode:
    """Lengths are geometric with mean 8; half of the episodes have equal calls."""

    def make(rng: np.random.Generator) -> list[bool]:
        n_calls = int(min(200, rng.geometric(1 / 8)))
        return _equal(rate, n_calls)(rng) if rng.random() < 0.5 else _independent(rate, n_calls)(rng)

    return make


def _run(make: MakesEpisode, n_audits: int, n_open: int, seed: int, *, promotes: bool) -> int | None:
    """Audits until a route is rolled back, or promoted; None where it is not. Calls come half a minute apart."""
    rng = np.random.default_rng(seed)
    evidence = AuditEvidence(allowed=ALLOWED)
    going: list[tuple[str, list[bool]]] = []
    for t in range(n_audits):
        while len(going) < n_open:
            going.append((f"{t}-{len(going)}", make(rng)))
        at = int(rng.integers(n_open))
        name, losses = going[at]
        evidence = observe(evidence, "s" if losses.pop(0) else ".", episode=name, now_s=30.0 * t)
        if not losses:
            going.pop(at)
        if log_gain(evidence) >= math.log(20) if promotes else must_roll_back(evidence):
            return t + 1
    return None


def episode_rows(n_runs: int, seed: int) -> list[dict[str, Any]]:
    """Routes whose calls come in episodes that go on side by side: how often and when they are rolled back or promoted."""
    settings = (
        ("sound: equal calls, 3 an episode", "rolled back", _equal(ALLOWED, 3), 400, 10),
        ("sound: equal calls, 12 an episode", "rolled back", _equal(ALLOWED, 12), 600, 20),
        ("sound: short episodes are hard", "rolled back", _short_are_hard, 600, 10),
        ("sound: lengths of all kinds", "rolled back", _ragged(ALLOWED), 600, 20),
        ("at the allowed loss: easy beginnings", "promoted", _easy_beginnings, 1500, 60),
        ("at the allowed loss: equal calls, 6 an episode", "promoted", _equal(ALLOWED, 6), 1500, 20),
        ("at the allowed loss: lengths of all kinds", "promoted", _ragged(ALLOWED), 1500, 20),
        ("jump to .15: calls of their own", "rolled back", _independent(JUMPED, 1), 1000, 1),
        ("jump to .15: independent calls, 6 an episode", "rolled back", _independent(JUMPED, 6), 2000, 10),
        ("jump to .15: equal calls, 6 an episode", "rolled back", _equal(JUMPED, 6), 3000, 10),
        ("broken, .8: independent calls, 6 an episode", "rolled back", _independent(0.8, 6), 400, 60),
        ("good, .01: calls of their own", "promoted", _independent(0.01, 1), 1500, 1),
        ("good, .01: equal calls, 6 an episode", "promoted", _equal(0.01, 6), 4000, 10),
    )
    out = []
    for name, event, make, n_audits, n_open in settings:
        promotes = event == "promoted"
        found = [_run(make, n_audits, n_open, seed + run, promotes=promotes) for run in range(n_runs)]
        happened = [at for at in found if at is not None]
        out.append(
            {
                "route": name,
                "open at a time": n_open,
                "audits at most": n_audits,
                "runs": n_runs,
                "event": event,
                "share": len(happened) / n_runs,
                "audits at the median": float(np.median(happened)) if happened else None,
            }
        )
    return out
