"""The rollback process: quiet on a good route, quick on a bad one, and its promise about false alarms holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deputize.scoring import monitor as m


def audits_until(
    done: Callable[[m.AuditEvidence], bool],
    rate: float,
    allowed: float,
    seed: int,
    limit: int,
    good_first: int = 0,
) -> int | None:
    rng = np.random.default_rng(seed)
    evidence = m.AuditEvidence(allowed)
    for t in range(limit):
        evidence = m.observe(evidence, float(rng.random() < (0.5 * allowed if t < good_first else rate)))
        if done(evidence) and t >= good_first:
            return t + 1 - good_first
    return None


def alarms(losses_RT: NDArray[np.float64], allowed: float, signed: bool, limit: float) -> NDArray[np.int64]:
    """When each of R runs of T losses is rolled back (T where it is not): `observe` on whole columns at once."""
    n_runs, n_audits = losses_RT.shape
    capital = np.zeros((n_runs, len(m.TILTS)))
    at = np.full(n_runs, n_audits)
    stakes = np.array([m._stakes(k, allowed, signed)[0] for k in range(len(m.TILTS))])
    for t in range(n_audits):
        capital = (1 + capital) * (1 + stakes * (losses_RT[:, t : t + 1] - allowed))
        at[(capital.mean(axis=1) >= limit) & (at == n_audits)] = t
    return at


def test_the_columns_are_the_process() -> None:
    rng = np.random.default_rng(2)
    losses = (rng.random(80) < 0.2).astype(float)
    evidence = m.AuditEvidence(0.05)
    n_seen = 0
    while n_seen < len(losses) and not m.must_roll_back(evidence):
        evidence = m.observe(evidence, float(losses[n_seen]))
        n_seen += 1
    assert alarms(losses[None, :], 0.05, False, m.AUDITS_PER_FALSE_ROLLBACK)[0] == n_seen - 1


def test_a_jump_from_5_to_15_percent_is_found_within_100_audits_at_the_median() -> None:
    rng = np.random.default_rng(0)
    for before, rate in ((0, 0.05), (300, 0.05), (500, 0.03)):
        losses = (
            np.hstack([rng.random((400, before)) < rate, rng.random((400, 600)) < 0.15]).astype(float)
            if before
            else (rng.random((400, 600)) < 0.15).astype(float)
        )
        at = alarms(losses, 0.05, False, m.AUDITS_PER_FALSE_ROLLBACK)
        assert np.median(at[at >= before] - before + 1) <= 100


def test_a_jump_to_30_percent_is_found_at_once() -> None:
    found = [audits_until(m.must_roll_back, 0.30, 0.05, s, 400) or 400 for s in range(60)]
    assert np.mean(found) < 40


@pytest.mark.parametrize("allowed", [0.05, 0.15, 0.6])
@pytest.mark.parametrize("n_audits", [250, 1000])
def test_false_roll_backs_as_promised_at_exactly_the_allowed_rate(allowed: float, n_audits: int) -> None:
    rng = np.random.default_rng(n_audits)
    n_runs, limit = 1000, 5_000.0
    at = alarms((rng.random((n_runs, n_audits)) < allowed).astype(float), allowed, False, limit)
    promised = m.false_rollback_bound(n_audits, limit)
    assert np.mean(at < n_audits) <= promised + 2 * np.sqrt(promised * (1 - promised) / n_runs)


def test_a_route_as_good_as_the_llms_own_repeats_stays() -> None:
    """The LLM differs from itself on 20 % of calls, the specialist on as many: losses in [-1, 1] around 0."""
    rng = np.random.default_rng(1)
    good = (rng.random((500, 1000)) < 0.2).astype(float) - (rng.random((500, 1000)) < 0.2)
    assert np.mean(alarms(good, 0.056, True, m.AUDITS_PER_FALSE_ROLLBACK) < 1000) <= 0.05
    worse = (rng.random((500, 1000)) < 0.4).astype(float) - (rng.random((500, 1000)) < 0.2)
    assert np.median(alarms(worse, 0.056, True, m.AUDITS_PER_FALSE_ROLLBACK)) < 250


def test_signed_false_roll_backs_as_promised() -> None:
    rng = np.random.default_rng(4)
    losses = (rng.random((1000, 800)) < 0.256).astype(float) - (rng.random((1000, 800)) < 0.2)
    assert np.mean(alarms(losses, 0.056, True, 5_000.0) < 800) <= m.false_rollback_bound(800, 5_000.0)


def test_harm_after_a_long_good_spell_is_noticed() -> None:
    found = [audits_until(m.must_roll_back, 0.3, 0.05, s, 1100, good_first=800) or 300 for s in range(25)]
    assert np.mean(found) < 40


def promoted(evidence: m.AuditEvidence) -> bool:
    return m.log_gain(evidence) >= math.log(20)


def test_a_good_one_is_promoted_and_a_bad_one_hardly_ever() -> None:
    assert audits_until(promoted, 0.0, 0.05, 0, 400) is not None
    wrongly = [audits_until(promoted, 0.05, 0.05, s, 400) for s in range(200)]
    assert np.mean([w is not None for w in wrongly]) <= 0.05


def test_the_gain_counts_from_whatever_moment() -> None:
    """What was good until then does not help: from there on a bad one is as seldom promoted as from the beginning."""
    rng = np.random.default_rng(3)
    n_wrong = 0
    for _ in range(200):
        evidence = m.AuditEvidence(0.05)
        for _ in range(150):
            evidence = m.observe(evidence, 0.0)
        since = m.log_gain(evidence)
        for loss in rng.random(300) < 0.05:
            evidence = m.observe(evidence, float(loss))
            if m.log_gain(evidence, since) >= math.log(20):
                n_wrong += 1
                break
    assert n_wrong <= 200 * 0.05


def test_one_call_in_place_of_another_is_as_if_it_had_come_at_once() -> None:
    start = m.observe(m.AuditEvidence(0.05), 0.0)
    changed = m.exchanged(m.observe(start, 0.0), 0.0, 1.0)
    assert changed.log_good == pytest.approx(m.observe(start, 1.0).log_good)
    assert m.observe(start, 1.0, for_good=False).log_good == start.log_good


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(0.005, 0.9))
def test_capitals_stay_finite_and_positive(losses: list[float], allowed: float) -> None:
    for signed in (False, True):
        evidence = m.AuditEvidence(allowed, signed=signed)
        for loss in losses:
            evidence = m.observe(evidence, loss if signed else abs(loss))
        assert evidence.n_audits == len(losses)
        assert m.e_value(evidence.log_good) > 0
        assert np.isfinite(m.e_value(evidence.log_harm))


def test_a_loss_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        m.observe(m.AuditEvidence(0.05), 2.0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        m.observe(m.AuditEvidence(0.05), -1.0)


def test_the_number_of_comparisons_is_about_what_it_takes() -> None:
    allowed = 0.05 / 0.9
    expected = m.comparisons_to_gain(allowed, 0.0, math.log(20))
    evidence, n = m.AuditEvidence(allowed), 0
    while m.log_gain(evidence) < math.log(20):
        evidence, n = m.observe(evidence, 0.0), n + 1
    assert n == expected
    taken = [audits_until(promoted, 0.015, allowed, seed, 4000) or 4000 for seed in range(80)]
    assert m.comparisons_to_gain(allowed, 0.015, math.log(20)) == pytest.approx(np.mean(taken), rel=0.25)
    assert m.comparisons_to_gain(allowed, 0.06, math.log(20)) == 4096
