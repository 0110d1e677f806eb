"""Evidence on a live route: e-processes that say when to roll back and when a canary may get a larger share.

Pure functions over small frozen states, so that a gateway can keep one per route and replay it. Losses are those of
audited calls: 1 where the LLM, asked as well, answered differently, else 0.

References:
    Ville's inequality; Waudby-Smith and Ramdas, arXiv 2010.09686 (betting); Shin, Ramdas and Rinaldo, "E-detectors",
    arXiv 2203.03532 (Shiryaev-Roberts restarts).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

TILTS: tuple[float, ...] = (1.5, 2.0, 3.0, 6.0)
"""Alternatives bet on at once, as multiples of the allowed rate: slow drift to outright failure."""


@dataclass(frozen=True)
class AuditEvidence:
    """The evidence so far. Capitals are logarithms, one per tilt."""

    alpha: float
    """The loss rate a route may have."""
    log_harm: tuple[float, ...] = (0.0,) * len(TILTS)
    """Against "the loss is at most alpha"."""
    log_restart: tuple[float, ...] = (-math.inf,) * len(TILTS)
    """The same with Shiryaev-Roberts restarts: quick after a long good spell."""
    log_good: tuple[float, ...] = (0.0,) * len(TILTS)
    """Against "the loss is at least alpha": the mirror, which promotes a canary."""
    n_audits: int = 0
    n_losses: float = 0.0


def observe(watch: AuditEvidence, loss: float) -> AuditEvidence:
    """The state after one more audited call with a loss in [0, 1].

    Raises:
        ValueError: a loss outside [0, 1].
    """
    if not 0.0 <= loss <= 1.0:
        raise ValueError(f"a loss lies in [0, 1], not {loss}")
    alpha = watch.alpha
    harm, restart, good = [], [], []
    for tilt, h, r, g in zip(TILTS, watch.log_harm, watch.log_restart, watch.log_good, strict=True):
        # the stake that grows fastest when the true rate is tilt * alpha (Kelly), kept inside what cannot go broke
        worse = min(tilt * alpha, (1 + alpha) / 2)
        step = math.log1p((worse - alpha) / (alpha * (1 - alpha)) * (loss - alpha))
        harm.append(h + step)
        restart.append(_log_add(0.0, r) + step)
        better = alpha / tilt
        good.append(g + math.log1p((alpha - better) / (alpha * (1 - alpha)) * (alpha - loss)))
    return AuditEvidence(
        alpha=alpha,
        log_harm=tuple(harm),
        log_restart=tuple(restart),
        log_good=tuple(good),
        n_audits=watch.n_audits + 1,
        n_losses=watch.n_losses + loss,
    )


def e_value(log_capitals: tuple[float, ...]) -> float:
    """The capital of a gambler who split one unit evenly over the tilts."""
    top = max(log_capitals)
    if top == -math.inf:
        return 0.0
    return math.exp(
        min(700.0, top + math.log(sum(math.exp(c - top) for c in log_capitals) / len(log_capitals)))
    )


def verdict(
    watch: AuditEvidence, *, delta: float = 0.01, mean_audits_to_false_alarm: float = 10_000.0
) -> Literal["roll back", "promote", "wait"]:
    """What the evidence asks for.

    "roll back" on a route within its rate happens with probability at most delta through the first process, and on
    average not before `mean_audits_to_false_alarm` audits through the second; "promote" on one above it with at most
    delta.
    """
    if e_value(watch.log_harm) >= 1 / delta or e_value(watch.log_restart) >= mean_audits_to_false_alarm:
        return "roll back"
    return "promote" if e_value(watch.log_good) >= 1 / delta else "wait"


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if b == -math.inf:
        return a
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))
