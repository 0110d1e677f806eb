"""The rollback process: quiet on a good route, quick on a bad one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.scoring import monitor as m


def audits_until(
    word: str, rate: float, alpha: float, seed: int, limit: int, good_first: int = 0, **kw: float
) -> int | None:
    rng = np.random.default_rng(seed)
    watch = m.AuditEvidence(alpha)
    for t in range(limit):
        watch = m.observe(watch, float(rng.random() < (0.5 * alpha if t < good_first else rate)))
        if m.verdict(watch, **kw) == word and t >= good_first:
            return t + 1 - good_first
    return None


def test_a_jump_is_seen_about_as_fast_as_the_theory_says() -> None:
    fast = [audits_until("roll back", 0.30, 0.05, s, 400) or 400 for s in range(120)]
    slow = [audits_until("roll back", 0.15, 0.05, s, 1500) or 1500 for s in range(120)]
    assert 8 < np.mean(fast) < 26  # 14 for the best possible bet
    assert 40 < np.mean(slow) < 130  # 65 for the best possible bet


def test_false_alarms_stay_below_delta() -> None:
    alarms = [
        audits_until("roll back", 0.05, 0.05, s, 600, delta=0.05, mean_audits_to_false_alarm=1e9)
        for s in range(200)
    ]
    assert np.mean([a is not None for a in alarms]) <= 0.05


def test_restarts_notice_harm_after_a_long_good_spell() -> None:
    with_restart = [
        audits_until("roll back", 0.3, 0.05, s, 1100, good_first=800, mean_audits_to_false_alarm=1000) or 300
        for s in range(25)
    ]
    without = [
        audits_until("roll back", 0.3, 0.05, s, 1100, good_first=800, mean_audits_to_false_alarm=1e12) or 300
        for s in range(25)
    ]
    assert np.mean(with_restart) < 40 < np.mean(without)


def test_a_good_canary_is_promoted_and_a_bad_one_hardly_ever() -> None:
    assert audits_until("promote", 0.0, 0.05, 0, 400) is not None
    wrongly = [audits_until("promote", 0.05, 0.05, s, 400, delta=0.05) for s in range(200)]
    assert np.mean([w is not None for w in wrongly]) <= 0.05


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.005, 0.5))
def test_capitals_stay_finite_and_positive(losses: list[float], alpha: float) -> None:
    watch = m.AuditEvidence(alpha)
    for loss in losses:
        watch = m.observe(watch, loss)
    assert watch.n_audits == len(losses)
    assert m.e_value(watch.log_harm) > 0 and m.e_value(watch.log_good) > 0
    assert np.isfinite(m.e_value(watch.log_restart))


def test_a_loss_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="lies in"):
        m.observe(m.AuditEvidence(0.05), 2.0)
