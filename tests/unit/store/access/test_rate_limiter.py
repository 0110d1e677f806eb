"""Limits of API keys: models, requests a minute, money a month."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.store.access.test_api_keys import Clock, a_key

from deputize.core.errors import AccessDenied, OverLimit
from deputize.store.access.rate_limiter import RateLimiter


def test_models_are_bounded(tmp_path: Path) -> None:
    meter = RateLimiter(tmp_path)
    key = a_key(models=("gpt-4o", "claude-*"))
    for model in ("gpt-4o", "claude-3", "claude-"):
        meter.admit(key, model)
    for model in ("gpt-4o-mini", "", "xclaude-3"):
        with pytest.raises(AccessDenied, match="may not ask for the model"):
            meter.admit(key, model)
    meter.admit(a_key(), "anything")
    meter.close()


def test_the_rate_is_held_and_the_wait_is_right(tmp_path: Path) -> None:
    clock = Clock(0.0)
    meter = RateLimiter(tmp_path, monotonic=clock)
    key = a_key(requests_per_minute=60.0)
    for _ in range(60):
        meter.admit(key, "m")
    with pytest.raises(OverLimit) as caught:
        meter.admit(key, "m")
    assert caught.value.retry_after_s == pytest.approx(1.0)
    clock.now -= 100
    with pytest.raises(OverLimit):
        meter.admit(key, "m")
    clock.now += 1.0
    meter.admit(key, "m")
    with pytest.raises(OverLimit):
        meter.admit(key, "m")
    meter.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rate=st.floats(1, 500), steps=st.lists(st.floats(0, 30), max_size=60))
def test_never_more_than_the_rate(tmp_path: Path, rate: float, steps: list[float]) -> None:
    clock = Clock(0.0)
    meter = RateLimiter(tmp_path, monotonic=clock)
    key = a_key(requests_per_minute=rate)
    n_in = 0
    for step in steps:
        clock.now += step
        try:
            meter.admit(key, "m")
            n_in += 1
        except OverLimit as error:
            assert 0 < error.retry_after_s <= 60 / rate + 1e-6
    assert n_in <= max(1.0, rate) + clock.now * rate / 60 + 1e-6
    meter.close()


def test_a_budget_is_shared_by_processes_and_ends_with_the_month(tmp_path: Path) -> None:
    clock, ticks = Clock(), Clock(0.0)
    key = a_key(usd_per_month=1.0)
    meters = [RateLimiter(tmp_path, clock=clock, monotonic=ticks) for _ in range(2)]
    for meter in meters:
        meter.admit(key, "m")
        meter.spend(key, 0.5)
        ticks.now += 2
        meter.sync()
    assert meters[0].spent_usd(key) == meters[1].spent_usd(key) == 1.0
    with pytest.raises(OverLimit) as caught:
        meters[0].admit(key, "m")
    assert 0 < caught.value.retry_after_s < 32 * 86400
    clock.now += caught.value.retry_after_s
    ticks.now += 2
    meters[0].admit(key, "m")
    for meter in meters:
        meter.close()
    again = RateLimiter(tmp_path, clock=Clock())
    assert again.spent_usd(key) == 1.0, "a restart forgets nothing"
    again.close()


def test_what_calls_under_way_may_cost_is_set_aside(tmp_path: Path) -> None:
    """Calls that begin together cannot each take the same last dollar."""
    clock = Clock()
    meter = RateLimiter(tmp_path, clock=clock)
    key = a_key(usd_per_month=1.0)
    reserved = [meter.reserve(key, 0.4) for _ in range(3)]
    with pytest.raises(OverLimit, match="under way"):
        meter.reserve(key, 0.4)
    with pytest.raises(OverLimit, match="under way"):
        meter.admit(key, "m")
    meter.release(key, reserved[0])
    meter.admit(key, "m")
    meter.spend(key, 0.5)
    with pytest.raises(OverLimit, match="under way"):
        meter.reserve(key, 0.01)
    for usd in reserved[1:]:
        meter.release(key, usd)
    assert meter.reserve(key, 0.01) == 0.5, "the next call may cost as much as the last one"
    meter.close()


def test_processes_share_what_is_left_to_reserve(tmp_path: Path) -> None:
    meter = RateLimiter(tmp_path, n_workers=4)
    key = a_key(usd_per_month=1.0)
    meter.reserve(key, 0.25)
    with pytest.raises(OverLimit):
        meter.reserve(key, 0.25)
    meter.close()
