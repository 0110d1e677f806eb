"""Watching a route: evidence from calls that the LLM answered too says when to roll back and when to serve more.

Pure functions over small frozen states, so that a gateway can keep one per route and replay it. The loss of an audited
call is 1 where the LLM, asked as well, answered differently, else 0. A route that is certified against the LLM's own
repeated samples is audited with two answers of the LLM, and its loss is "specialist differs" minus "LLM differs from
itself", in [-1, 1].

Calls of one episode are alike, so an episode is one bet: on the sum of "loss minus allowed loss" over its calls, whose
mean is what the certificate's claim is about. A bet must not go broke, so its stake is in proportion to one over the
calls that may count for an episode: as many as the longest of the episodes shortly before had. Episodes are bet on in
the order in which they began. One that goes on counts against the route as if the rest of its calls had no loss, and
for the route once it, and all before it, have ended. So both capitals may be looked at after every call, whatever goes
on.

References:
    Ville's inequality; Waudby-Smith and Ramdas, arXiv 2010.09686 (betting); Shin, Ramdas and Rinaldo, "E-detectors",
    arXiv 2203.03532, theorem 2.1 (Shiryaev-Roberts restarts and their average run length).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeAlias

from deputize.core.records import Certificate

TILTS: tuple[float, ...] = (1.5, 2.0, 3.0, 6.0)
"""Alternatives that are bet on at once for losses in [0, 1], as multiples of the allowed rate: slow drift to outright
failure."""
STAKES: tuple[float, ...] = (0.1, 0.25, 0.5, 0.8)
"""Bets for losses in [-1, 1], and for episodes of several calls, as shares of the largest stake that cannot go
broke."""
AUDITS_PER_FALSE_ROLLBACK = 20_000.0
"""A route within its allowed rate is rolled back within its first n episodes with probability at most n / this."""
KEPT_AUDITS = 4096
"""Newest audits of a route that are kept one by one, for a later certificate that allows another rate."""
MOST_OF_AN_EPISODE = 32
"""A longer episode counts by so many of its audited calls, drawn at random."""
LEAST_AT_FIRST = 8
"""Calls of an episode that may count against a route at the least until FIRST_EPISODES have ended: before nobody knows
how long they are."""
FIRST_EPISODES = 30
RECENT_EPISODES = 200
"""Newest episodes whose lengths say how many calls of the next may count."""
OPEN_EPISODES = 256
"""Named episodes that may go on at a time; beyond that the oldest is taken for ended, and does not count for a
promotion."""
WAITING_EPISODES = 1024
"""The same of all that are not in the capitals yet."""
EPISODE_ENDS_AFTER_S = 30 * 60.0
"""Without a call an episode has ended after so long."""
MAX_CALLS = 128
"""Audited calls after which further ones of the same name are another episode, so that one name for everything does not
hide a failure. An episode that is cut so does not count for a promotion."""
MAX_EPISODE_S = 24 * 3600.0
"""Calls of the same name are another episode after so long."""

_NOTHING = -1e300
"""Logarithm of no capital at all; the evidence file is JSON, which has no infinity."""

_MOST_LOG = 500.0
_MOST = math.exp(_MOST_LOG)
"""Capitals beyond it are not told apart."""

AuditResult: TypeAlias = Literal[".", "s", "l", "b"]
"""Who differed from the LLM's answer: nobody, the specialist, the LLM when asked again, or both."""


@dataclass(frozen=True)
class AuditedEpisode:
    """The audited calls of one episode that is not in the capitals yet, because it, or one that began before it, goes
    on."""

    key: str
    """Digest of its name; "": it has one call and stands alone."""
    most: int
    """Calls of it that may count against the route."""
    results: str
    """One `AuditResult` for each of its calls, or for MOST_OF_AN_EPISODE of them, drawn at random."""
    n_calls: int = 1
    began_s: float = 0.0
    last_s: float = 0.0
    """Unix seconds of its first and its newest call."""
    ended: bool = False
    promotes: bool = True
    """It counts for a promotion; False where a part of it came before the canary, or where it was cut."""


@dataclass(frozen=True)
class AuditEvidence:
    """The evidence so far. Capitals are logarithms, one per bet."""

    allowed: float
    """The mean loss that a route may have, in (0, 1]; at 1 nothing can speak against it, and audits are only
    counted."""
    signed: bool = False
    """True where losses are differences in [-1, 1]."""
    log_harm: tuple[float, ...] = (_NOTHING,) * len(TILTS)
    """Against "the loss is at most the allowed one", begun again at every episode and summed (Shiryaev-Roberts)."""
    log_good: tuple[float, ...] = (0.0,) * len(TILTS)
    """Against "the loss is at least the allowed one": the mirror, which promotes."""
    results: str = ""
    """The newest audits that are in the capitals, one `AuditResult` each, oldest first, with a "|" after each
    episode."""
    n_audits: int = 0
    sum_losses: float = 0.0
    open: tuple[AuditedEpisode, ...] = ()
    """Episodes that are not in the capitals yet, in the order in which they began; the first of them goes on."""


def allowed_loss(certificate: Certificate) -> float:
    """The mean loss that served calls may have: epsilon of all calls, served or not, and at most the served limit.

    Of a claim about right answers it is how often calibration saw the specialist differ from the LLM, where that is
    more.
    """
    served = certificate.share_served
    if certificate.n_served and certificate.n_calibration:
        served = certificate.n_served / certificate.n_calibration
    by_share = certificate.epsilon / served if served > 0 else certificate.epsilon
    allowed = min(1.0, by_share, certificate.served_limit or 1.0)
    # audits know the LLM's answer only, from which a specialist may differ and be right
    return allowed if certificate.labels is None else max(allowed, certificate.labels.differs_limit)


def allowed_over_all(certificate: Certificate) -> float:
    """The mean loss that all calls may have, where a call that is not served has none, by the answers of the LLM."""
    if certificate.labels is None or not certificate.n_calibration:
        return certificate.epsilon
    served = certificate.n_served / certificate.n_calibration
    return max(certificate.epsilon, served * certificate.labels.differs_limit)


def sum_of_losses(results: str, *, signed: bool) -> float:
    """The losses of some audits together; `signed`: less those of the LLM, when it was asked again."""
    n_specialist, n_both = results.count("s"), results.count("b")
    return float(n_specialist - results.count("l") if signed else n_specialist + n_both)


def observe(
    evidence: AuditEvidence,
    result: str,
    *,
    episode: str = "",
    now_s: float = 0.0,
    ends_after_s: float = EPISODE_ENDS_AFTER_S,
) -> AuditEvidence:
    """The evidence after one more call with both answers.

    Args:
        evidence: before.
        result: of the call.
        episode: digest of the name of its episode; "": it stands alone.
        now_s: Unix seconds of the call.
        ends_after_s: without a call an episode has ended after so long.

    Raises:
        ValueError: not an `AuditResult`.
    """
    if result not in (".", "s", "l", "b"):
        raise ValueError(f"an audit's result is one of . s l b, not {result!r}")
    known = [_at(one, now_s, ends_after_s) for one in evidence.open]
    at = next((k for k, one in enumerate(known) if episode and one.key == episode and not one.ended), None)
    if at is None:
        most = 1
        if episode:
            most = _most(evidence.results, known)
        known.append(AuditedEpisode(episode, most, result, began_s=now_s, last_s=now_s, ended=not episode))
    else:
        one = known[at]
        n_calls = one.n_calls + 1
        known[at] = replace(one, results=_with(one, result, n_calls), n_calls=n_calls, last_s=now_s)
    return _settled(evidence, known, 1, evidence.sum_losses + sum_of_losses(result, signed=evidence.signed))


def judged_again(
    evidence: AuditEvidence, allowed: float, audits_per_false_rollback: float, *, signed: bool
) -> tuple[AuditEvidence, bool]:
    """The kept audits by another allowed loss, and True where they are enough for a rollback by it.

    For the route they do not count: its evidence for a promotion begins again.
    """
    again, alarm = AuditEvidence(allowed, signed=signed), False
    if signed and not evidence.signed:
        return again, False  # those audits had one answer of the LLM only
    kept = [*evidence.results.split("|")[:-1], *(one.results for one in evidence.open)]
    for results in kept:
        most = 1 if len(results) == 1 else _most(again.results, [])
        one = AuditedEpisode("", most, results, ended=True)
        again = _settled(again, [one], len(results), again.sum_losses + sum_of_losses(results, signed=signed))
        alarm = alarm or must_roll_back(again, audits_per_false_rollback)
    return replace(again, log_good=(0.0,) * len(TILTS)), alarm


def promotes_from_here(evidence: AuditEvidence) -> AuditEvidence:
    """The evidence where no episode that goes on counts for a promotion; against the route all go on as they were."""
    return replace(evidence, open=tuple(replace(one, promotes=False) for one in evidence.open))


def _longest(results: str) -> int:
    """Audits of the longest of the newest episodes that are in the capitals, 1 where there is none."""
    return max(1, *map(len, results.rsplit("|", RECENT_EPISODES + 1)[-RECENT_EPISODES - 1 :]))


def _most(results: str, known: Sequence[AuditedEpisode]) -> int:
    """Calls that may count of an episode that begins now: as many as the longest of recent ones has so far."""
    n_ended = results.count("|") + sum(one.ended for one in known)
    least = LEAST_AT_FIRST if n_ended < FIRST_EPISODES else 1
    return max(least, _longest(results), *(len(one.results) for one in known))


def _with(one: AuditedEpisode, result: str, n_calls: int) -> str:
    """The results of an episode with one more: each call is among those kept with the same probability."""
    if n_calls <= MOST_OF_AN_EPISODE:
        return one.results + result
    # drawn from the name's digest, which the caller does not choose, so that a replay draws the same
    drawn = int.from_bytes(blake2b(f"{one.key} {n_calls}".encode(), digest_size=8).digest(), "big")
    at = drawn % n_calls
    return one.results if at >= MOST_OF_AN_EPISODE else one.results[:at] + result + one.results[at + 1 :]


def _at(one: AuditedEpisode, now_s: float, ends_after_s: float) -> AuditedEpisode:
    if one.n_calls >= MAX_CALLS and not one.ended:
        return replace(one, ended=True, promotes=False)
    if one.ended or (now_s - one.last_s < ends_after_s and now_s - one.began_s < MAX_EPISODE_S):
        return one
    return replace(one, ended=True)


def _settled(
    evidence: AuditEvidence, left: list[AuditedEpisode], n_more: int, sum_losses: float
) -> AuditEvidence:
    """The evidence with the episodes before the first that goes on in the capitals.

    Args:
        evidence: before.
        left: episodes that are not in the capitals.
        n_more: audits since.
        sum_losses: of all audits.
    """
    allowed, signed = evidence.allowed, evidence.signed
    harm, good, results = evidence.log_harm, evidence.log_good, evidence.results
    n_going, n_settled = sum(not one.ended for one in left), 0
    for one in left:
        cut = not one.ended and (n_going > OPEN_EPISODES or len(left) - n_settled > WAITING_EPISODES)
        if not (one.ended or cut):
            break
        n_going -= cut
        n_settled += 1
        before, results = results, f"{results}{one.results}|"
        if allowed < 1:
            gained = _gained(one, allowed, signed, ended=True)
            stakes = _stakes_on_worse(allowed, signed, one.most)
            harm = tuple(
                _log_add(0.0, h) + math.log1p(stake * gained) for h, stake in zip(harm, stakes, strict=True)
            )
        if allowed < 1 and one.promotes and not cut:
            longest = _longest(before)
            counted = one.results[:longest]
            gained = (len(counted) * allowed - sum_of_losses(counted, signed=signed)) / longest
            stakes = _stakes_on_better(allowed, signed)
            good = tuple(g + math.log1p(stake * gained) for g, stake in zip(good, stakes, strict=True))
    return AuditEvidence(
        allowed=allowed,
        signed=signed,
        log_harm=harm,
        log_good=good,
        results=_newest(results),
        n_audits=evidence.n_audits + n_more,
        sum_losses=sum_losses,
        open=tuple(left[n_settled:]),
    )


def _newest(results: str) -> str:
    """The last audits, without the rest of an episode that is cut."""
    return results if len(results) <= KEPT_AUDITS else results[-KEPT_AUDITS:].partition("|")[2]


def _gained(one: AuditedEpisode, allowed: float, signed: bool, *, ended: bool) -> float:
    """Sum of "loss minus allowed loss" over the calls of an episode that count against the route.

    While it goes on, as if the rest of its calls had the least loss, so that more calls never lower what was looked at.
    """
    counted = one.results[: one.most]
    n_to_come = 0 if ended else one.most - len(counted)
    losses = sum_of_losses(counted, signed=signed) - (n_to_come if signed else 0)
    return losses - (len(counted) + n_to_come) * allowed


@lru_cache(maxsize=1024)
def _stakes_on_worse(allowed: float, signed: bool, most: int) -> tuple[float, ...]:
    """Stakes on "worse" such that `most` calls without a loss do not take the whole capital."""
    if signed:
        return tuple(stake / ((1 + allowed) * most) for stake in STAKES)
    # the stake that grows fastest when the true rate is tilt * allowed (Kelly), kept inside what cannot go broke
    worse = [min(tilt * allowed, (1 + allowed) / 2) for tilt in TILTS]
    fastest = tuple((rate - allowed) / (allowed * (1 - allowed)) for rate in worse)
    if most == 1:
        return fastest
    return tuple(min(kelly, stake / (allowed * most)) for kelly, stake in zip(fastest, STAKES, strict=True))


@lru_cache(maxsize=1024)
def _stakes_on_better(allowed: float, signed: bool) -> tuple[float, ...]:
    """Stakes on "better", for one call, such that its loss does not take the whole capital."""
    if signed:
        return tuple(stake / (1 - allowed) for stake in STAKES)
    return tuple((1 - 1 / tilt) / (1 - allowed) for tilt in TILTS)


def log_e_value(log_capitals: tuple[float, ...]) -> float:
    """The logarithm of the capital of a gambler who split one unit evenly over the bets."""
    top = max(log_capitals)
    return top + math.log(sum(math.exp(c - top) for c in log_capitals) / len(log_capitals))


def harm(evidence: AuditEvidence) -> float:
    """The capital that speaks against the route, with the episodes that go on."""
    capitals = [math.exp(min(_MOST_LOG, h)) for h in evidence.log_harm]
    for one in evidence.open if evidence.allowed < 1 else ():
        gained = _gained(one, evidence.allowed, evidence.signed, ended=one.ended)
        stakes = _stakes_on_worse(evidence.allowed, evidence.signed, one.most)
        capitals = [
            min(_MOST, (1 + capital) * (1 + stake * gained))
            for capital, stake in zip(capitals, stakes, strict=True)
        ]
    return sum(capitals) / len(capitals)


def false_rollback_bound(
    n_episodes: float, audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK
) -> float:
    """The probability that a route within its allowed rate is rolled back within `n_episodes` audited episodes, at
    most.

    The sum of restarted capitals minus the number of episodes is a supermartingale, so it has reached A at episode n
    with probability at most n / A, and on average not before episode A. Calls without an episode count as one each. No
    bound that never ends is claimed: a route that is watched for ever is rolled back some day.
    """
    return min(1.0, n_episodes / audits_per_false_rollback)


def must_roll_back(
    evidence: AuditEvidence, audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK
) -> bool:
    """True where the evidence of harm is enough; for a sound route it is as seldom as `false_rollback_bound` says."""
    return harm(evidence) >= audits_per_false_rollback


def log_gain(evidence: AuditEvidence, since: float = 0.0) -> float:
    """The logarithm of the factor by which the capital against "the loss is at least the allowed one" has grown.

    The capital is that of the episodes before the first that goes on. While that is true the factor ever reaches 1 /
    delta with probability at most delta, from whatever moment on it is counted (Ville).

    Args:
        evidence: now.
        since: `log_gain` at that moment; 0: from the beginning.
    """
    return log_e_value(evidence.log_good) - since


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))


def comparisons_to_gain(allowed: float, loss: float, log_wanted: float, most: int = 4096) -> int:
    """About how many episodes of one call it takes until `log_gain` is this, at a loss in [0, 1]; `most` where it may
    not."""
    growth = [
        (1 - loss) * math.log1p(stake * allowed) + loss * math.log1p(stake * (allowed - 1))
        for stake in _stakes_on_better(allowed, False)
    ]
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if log_e_value(tuple(middle * g for g in growth)) >= log_wanted:
            high = middle
        else:
            low = middle + 1
    return high
