"""Watching a route: evidence from calls that the LLM answered too says when to roll back and when to serve more.

Pure functions over small frozen states, so that a gateway can keep one per route and replay it. The loss of an audited
call is 1 where the LLM, asked as well, answered differently, else 0. A route that is certified against the LLM's own
repeated samples is audited with two answers of the LLM, and its loss is "specialist differs" minus "LLM differs from
itself", in [-1, 1].

References:
    Ville's inequality; Waudby-Smith and Ramdas, arXiv 2010.09686 (betting); Shin, Ramdas and Rinaldo, "E-detectors",
    arXiv 2203.03532, theorem 2.1 (Shiryaev-Roberts restarts and their average run length).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from deputize.core.records import Certificate

TILTS: tuple[float, ...] = (1.5, 2.0, 3.0, 6.0)
"""Alternatives that are bet on at once for losses in [0, 1], as multiples of the allowed rate: slow drift to outright failure."""
STAKES: tuple[float, ...] = (0.1, 0.25, 0.5, 0.8)
"""Bets for losses in [-1, 1], as shares of the largest stake that cannot go broke."""
AUDITS_PER_FALSE_ROLLBACK = 20_000.0
"""A route within its allowed rate is rolled back within its first n audits with probability at most n / this."""


@dataclass(frozen=True)
class AuditEvidence:
    """The evidence so far. Capitals are logarithms, one per bet."""

    allowed: float
    """The mean loss that a route may have, in (0, 1)."""
    signed: bool = False
    """True where losses are differences in [-1, 1]."""
    log_harm: tuple[float, ...] = (-math.inf,) * len(TILTS)
    """Against "the loss is at most the allowed one", begun again at every audit and summed (Shiryaev-Roberts)."""
    log_good: tuple[float, ...] = (0.0,) * len(TILTS)
    """Against "the loss is at least the allowed one": the mirror, which promotes. One call of an episode counts in it."""
    n_audits: int = 0
    sum_losses: float = 0.0


def allowed_loss(certificate: Certificate) -> float:
    """The mean loss that served calls may have: epsilon of all calls, served or not, and at most the served limit."""
    served = certificate.share_served
    if certificate.n_served and certificate.n_calibration:
        served = certificate.n_served / certificate.n_calibration
    by_share = certificate.epsilon / served if served > 0 else certificate.epsilon
    return min(1.0, by_share, certificate.served_limit or 1.0)


def observe(evidence: AuditEvidence, loss: float, *, for_good: bool = True) -> AuditEvidence:
    """The evidence after one more call with both answers.

    Args:
        evidence: before.
        loss: of the call.
        for_good: it also counts for a promotion; False where another call of its episode does.

    Raises:
        ValueError: a loss outside [0, 1], or [-1, 1] where losses are signed.
    """
    least = -1.0 if evidence.signed else 0.0
    if not least <= loss <= 1.0:
        raise ValueError(f"a loss lies in [{least:g}, 1], not {loss}")
    allowed = evidence.allowed
    harm, good = [], []
    for at, (h, g) in enumerate(zip(evidence.log_harm, evidence.log_good, strict=True)):
        harm_stake, good_stake = _stakes(at, allowed, evidence.signed)
        harm.append(_log_add(0.0, h) + math.log1p(harm_stake * (loss - allowed)))
        good.append(g + math.log1p(good_stake * (allowed - loss)) if for_good else g)
    return AuditEvidence(
        allowed=allowed,
        signed=evidence.signed,
        log_harm=tuple(harm),
        log_good=tuple(good),
        n_audits=evidence.n_audits + 1,
        sum_losses=evidence.sum_losses + loss,
    )


def exchanged(evidence: AuditEvidence, old: float, new: float) -> AuditEvidence:
    """The evidence where the call that counts for an episode is another one: the loss `new` in place of `old`."""
    allowed = evidence.allowed
    good = []
    for at, log_capital in enumerate(evidence.log_good):
        stake = _stakes(at, allowed, evidence.signed)[1]
        good.append(log_capital + math.log1p(stake * (allowed - new)) - math.log1p(stake * (allowed - old)))
    return replace(evidence, log_good=tuple(good))


def _stakes(at: int, allowed: float, signed: bool) -> tuple[float, float]:
    """Stakes on "worse" and on "better", such that no loss in range takes the whole capital."""
    if signed:
        return STAKES[at] / (1 + allowed), STAKES[at] / (1 - allowed)
    # the stake that grows fastest when the true rate is tilt * allowed (Kelly), kept inside what cannot go broke
    variance = allowed * (1 - allowed)
    worse = min(TILTS[at] * allowed, (1 + allowed) / 2)
    better = allowed / TILTS[at]
    return (worse - allowed) / variance, (allowed - better) / variance


def log_e_value(log_capitals: tuple[float, ...]) -> float:
    """The logarithm of the capital of a gambler who split one unit evenly over the bets."""
    top = max(log_capitals)
    if top == -math.inf:
        return top
    return top + math.log(sum(math.exp(c - top) for c in log_capitals) / len(log_capitals))


def e_value(log_capitals: tuple[float, ...]) -> float:
    """That capital itself."""
    return math.exp(min(700.0, log_e_value(log_capitals)))


def false_rollback_bound(
    n_audits: float, audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK
) -> float:
    """The probability that a route within its allowed rate is rolled back within its first `n_audits` audits, at most.

    The sum of restarted capitals minus the number of audits is a supermartingale, so it has reached A at audit n with
    probability at most n / A, and on average not before audit A. No bound that never ends is claimed: a route that is
    watched for ever is rolled back some day.
    """
    return min(1.0, n_audits / audits_per_false_rollback)


def must_roll_back(
    evidence: AuditEvidence, audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK
) -> bool:
    """True where the evidence of harm is enough; for a sound route it is as seldom as `false_rollback_bound` says."""
    return e_value(evidence.log_harm) >= audits_per_false_rollback


def log_gain(evidence: AuditEvidence, since: float = 0.0) -> float:
    """The logarithm of the factor by which the capital against "the loss is at least the allowed one" has grown.

    While that is true the factor ever reaches 1 / delta with probability at most delta, from whatever moment on it is
    counted (Ville).

    Args:
        evidence: now.
        since: `log_gain` at that moment; 0: from the beginning.
    """
    return log_e_value(evidence.log_good) - since


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if b == -math.inf:
        return a
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))


def comparisons_to_gain(allowed: float, loss: float, log_wanted: float, most: int = 4096) -> int:
    """About how many calls it takes until `log_gain` has reached a value, at a loss in [0, 1]; `most` where it may not."""
    growth = [
        (1 - loss) * math.log1p(stake * allowed) + loss * math.log1p(stake * (allowed - 1))
        for stake in (_stakes(at, allowed, signed=False)[1] for at in range(len(TILTS)))
    ]
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if log_e_value(tuple(middle * g for g in growth)) >= log_wanted:
            high = middle
        else:
            low = middle + 1
    return high
