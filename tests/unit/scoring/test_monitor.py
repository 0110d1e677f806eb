"""The rollback process: quiet on a good route, quick on a bad one, and its promise about false alarms holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deputize.scoring import monitor as m


def all_ended(evidence: m.AuditEvidence) -> m.AuditEvidence:
    """The evidence with all its episodes taken for ended."""
    return m._settled(evidence, [replace(one, ended=True) for one in evidence.open], 0, evidence.sum_losses)


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
        wrong = rng.random() < (0.5 * allowed if t < good_first else rate)
        evidence = m.observe(evidence, "s" if wrong else ".")
        if done(evidence) and t >= good_first:
            return t + 1 - good_first
    return None


def alarms(losses_RT: NDArray[np.float64], allowed: float, signed: bool, limit: float) -> NDArray[np.int64]:
    """When each of R runs of T losses is rolled back (T where it is not): `observe` on whole columns at once."""
    n_runs, n_audits = losses_RT.shape
    capital = np.zeros((n_runs, len(m.TILTS)))
    at = np.full(n_runs, n_audits)
    stakes = np.array(m._stakes_on_worse(allowed, signed, 1))
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
        evidence = m.observe(evidence, "s" if losses[n_seen] else ".")
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
    for _ in range(100):
        evidence = m.AuditEvidence(0.05)
        for _ in range(150):
            evidence = m.observe(evidence, ".")
        since = m.log_gain(evidence)
        for wrong in rng.random(300) < 0.05:
            evidence = m.observe(evidence, "s" if wrong else ".")
            if m.log_gain(evidence, since) >= math.log(20):
                n_wrong += 1
                break
    assert n_wrong / 100 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)


def episodes(
    rng: np.random.Generator, make: Callable[[], list[bool]], n_open: int, n_calls: int
) -> Iterator[tuple[str, str, float]]:
    """(result, episode, Unix seconds) of calls, half a minute apart, of so many episodes that go on at a time."""
    going: list[tuple[str, list[bool]]] = []
    for t in range(n_calls):
        while len(going) < n_open:
            going.append((f"{t}-{len(going)}", make()))
        at = int(rng.integers(n_open))
        name, losses = going[at]
        yield "s" if losses.pop(0) else ".", name, 30.0 * t
        if not losses:
            going.pop(at)


def share_that(
    done: Callable[[m.AuditEvidence], bool],
    kind: Callable[[np.random.Generator], list[bool]],
    *,
    n_open: int,
    n_calls: int,
    n_runs: int,
) -> float:
    n_done = 0
    for seed in range(n_runs):
        rng = np.random.default_rng(seed)
        evidence = m.AuditEvidence(0.05)
        for result, name, now_s in episodes(rng, lambda: kind(rng), n_open, n_calls):  # noqa: B023 - used at once
            evidence = m.observe(evidence, result, episode=name, now_s=now_s)
            if done(evidence):
                n_done += 1
                break
    return n_done / n_runs


def equal_calls(rng: np.random.Generator) -> list[bool]:
    return [bool(rng.random() < 0.05)] * 3


def short_ones_are_hard(rng: np.random.Generator) -> list[bool]:
    """.048 of the calls are wrong, in the mean over episodes .12."""
    return [bool(rng.random() < 0.2)] if rng.random() < 0.5 else [bool(x) for x in rng.random(10) < 0.033]


def easy_beginnings(rng: np.random.Generator) -> list[bool]:
    """.05 of the calls are wrong, none of the first three of an episode of six."""
    return [False] * 3 + [bool(rng.random() < 0.1)] * 3


def hard_beginnings(rng: np.random.Generator) -> list[bool]:
    """.05 of the calls are wrong, all of them the first of six."""
    return [bool(rng.random() < 0.3)] + [False] * 5


def worse_late(rng: np.random.Generator) -> list[bool]:
    """.10 of the calls are wrong, all of them after the 32nd of 64."""
    return [False] * 32 + [bool(x) for x in rng.random(32) < 0.2]


@pytest.mark.parametrize("kind", [equal_calls, short_ones_are_hard, easy_beginnings])
def test_calls_that_are_alike_do_not_roll_a_sound_route_back(
    kind: Callable[[np.random.Generator], list[bool]],
) -> None:
    assert share_that(m.must_roll_back, kind, n_open=6, n_calls=300, n_runs=20) <= 1 / 20


def test_many_episodes_that_begin_hard_at_once_do_not_roll_a_sound_route_back() -> None:
    """Before any of them has a second call nobody knows how many calls they have."""
    assert share_that(m.must_roll_back, hard_beginnings, n_open=50, n_calls=300, n_runs=12) == 0


def test_what_goes_wrong_late_in_long_episodes_is_not_promoted() -> None:
    assert share_that(promoted, worse_late, n_open=2, n_calls=1500, n_runs=6) == 0


def test_episodes_that_are_cut_do_not_promote() -> None:
    evidence = m.AuditEvidence(0.05)
    for k in range(m.OPEN_EPISODES + 200):
        evidence = m.observe(evidence, ".", episode=f"e{k}")
    assert evidence.results == ".|" * 200 and m.log_gain(evidence) == 0.0
    assert len(evidence.open) == m.OPEN_EPISODES


def test_calls_without_an_episode_do_not_cut_those_with_one() -> None:
    evidence = m.observe(m.AuditEvidence(0.05), ".", episode="a")
    for _ in range(2 * m.OPEN_EPISODES):
        evidence = m.observe(evidence, ".")
    assert evidence.open[0].key == "a" and m.log_gain(evidence) == 0.0
    for _ in range(m.WAITING_EPISODES):
        evidence = m.observe(evidence, ".")
    assert not evidence.open or evidence.open[0].key != "a"


def test_a_long_episode_counts_by_calls_drawn_from_all_of_it() -> None:
    shares = []
    for k in range(60):
        evidence = m.AuditEvidence(0.05)
        for t in range(96):
            evidence = m.observe(evidence, "s" if t >= 64 else ".", episode=f"e{k}")
        (one,) = evidence.open
        assert len(one.results) == m.MOST_OF_AN_EPISODE and one.n_calls == 96
        shares.append(one.results.count("s") / m.MOST_OF_AN_EPISODE)
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.04)


def test_the_stake_follows_the_length_of_recent_episodes() -> None:
    evidence = m.AuditEvidence(0.05)
    for _ in range(20):
        evidence = m.observe(evidence, ".", episode="long")
    assert m.observe(evidence, ".", episode="next").open[-1].most == 20
    evidence = all_ended(evidence)
    assert m.observe(evidence, ".", episode="next").open[-1].most == 20
    for _ in range(m.RECENT_EPISODES + 1):
        evidence = m.observe(evidence, ".")
    assert m.observe(evidence, ".", episode="next").open[-1].most == 1
    assert m.observe(m.AuditEvidence(0.05), ".", episode="first").open[-1].most == m.LEAST_AT_FIRST
    assert m.observe(evidence, ".").open == (), "a call that stands alone is a bet of its own"


def test_many_open_episodes_that_begin_well_promote_no_bad_one() -> None:
    assert share_that(promoted, easy_beginnings, n_open=30, n_calls=500, n_runs=20) <= 0.05


def test_a_broken_specialist_is_found_while_all_its_episodes_go_on() -> None:
    evidence, n = m.AuditEvidence(0.05), 0
    while not m.must_roll_back(evidence):
        evidence, n = m.observe(evidence, "s", episode=f"e{n % 20}"), n + 1
    assert n <= 25 and all(not one.ended for one in evidence.open)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(".slb"), st.integers(0, 5)), max_size=60),
    st.lists(st.tuples(st.sampled_from(".slb"), st.integers(0, 5)), max_size=40),
    st.floats(0.005, 0.9),
    st.booleans(),
)
def test_what_is_looked_at_on_the_way_is_never_above_the_end(
    calls: list[tuple[str, int]], more: list[tuple[str, int]], allowed: float, signed: bool
) -> None:
    """A capital that was enough while episodes went on is enough when they have ended, whatever came of them."""
    evidence = m.AuditEvidence(allowed, signed=signed)
    for result, episode in calls:
        evidence = m.observe(evidence, result, episode=f"e{episode}" if episode else "")
    assert evidence.n_audits == len(calls)
    looked_at = m.harm(evidence)
    going = {one.key for one in evidence.open if not one.ended}
    for result, episode in more:  # only calls of these: others would be bets of their own
        if f"e{episode}" in going:
            evidence = m.observe(evidence, result, episode=f"e{episode}")
    ended = all_ended(evidence)
    assert looked_at <= m.harm(ended) * (1 + 1e-9)
    assert math.isfinite(m.harm(ended)) and math.isfinite(m.log_gain(ended))


def test_one_episode_is_one_bet_on_the_sum_of_its_losses() -> None:
    """Whose mean over calls is the claim's, and which is worth no more than one call where all are equal."""
    evidence = m.AuditEvidence(0.05)
    for k in range(200):
        for _ in range(6):
            evidence = m.observe(evidence, ".", episode=f"e{k}")
    alone = m.AuditEvidence(0.05)
    for _ in range(200):
        alone = m.observe(alone, ".")
    ended = all_ended(evidence)
    assert ended.n_audits == 1200
    assert m.log_gain(ended) == pytest.approx(m.log_gain(alone), rel=0.02)
    assert m.log_gain(evidence) == 0.0, "none of them has ended"


def test_an_episode_ends_by_time_by_age_or_when_too_many_are_open() -> None:
    one = m.observe(m.AuditEvidence(0.05), ".", episode="a", now_s=0.0)
    assert len(one.open) == 1
    assert len(m.observe(one, ".", episode="a", now_s=1799.0).open[0].results) == 2
    again = m.observe(one, ".", episode="a", now_s=1800.0)
    assert again.results == ".|" and again.open[0].results == "."
    busy = one
    for k in range(1, 60):
        busy = m.observe(busy, ".", episode="a", now_s=1500.0 * k)
    assert busy.n_audits == 60 and [len(r) for r in busy.results.split("|")] == [m.MOST_OF_AN_EPISODE, 0]


def test_a_call_that_came_while_another_episode_goes_on_waits_for_its_turn() -> None:
    one = m.observe(m.AuditEvidence(0.05), ".", episode="a")
    waiting = m.observe(one, "s")
    assert [e.key for e in waiting.open] == ["a", ""] and waiting.log_good == one.log_good
    assert m.harm(waiting) > m.harm(one), "against the route it counts at once"
    assert all_ended(waiting).results == ".|s|"


def test_a_result_that_is_none_is_refused() -> None:
    for bad in ("", "x", ".."):
        with pytest.raises(ValueError, match="one of"):
            m.observe(m.AuditEvidence(0.05), bad)


def test_the_number_of_comparisons_is_about_what_it_takes() -> None:
    allowed = 0.05 / 0.9
    expected = m.comparisons_to_gain(allowed, 0.0, math.log(20))
    evidence, n = m.AuditEvidence(allowed), 0
    while m.log_gain(evidence) < math.log(20):
        evidence, n = m.observe(evidence, "."), n + 1
    assert n == expected
    taken = [audits_until(promoted, 0.015, allowed, seed, 4000) or 4000 for seed in range(80)]
    assert m.comparisons_to_gain(allowed, 0.015, math.log(20)) == pytest.approx(np.mean(taken), rel=0.25)
    assert m.comparisons_to_gain(allowed, 0.06, math.log(20)) == 4096


def test_one_name_for_all_calls_does_not_hide_a_failure_and_promotes_nothing() -> None:
    bad, n = m.AuditEvidence(0.05), 0
    while not m.must_roll_back(bad) and n < 1500:
        bad, n = m.observe(bad, "s", episode="always the same", now_s=float(n)), n + 1
    assert n < 1500
    good = m.AuditEvidence(0.05)
    for k in range(1000):
        good = m.observe(good, ".", episode="always the same", now_s=float(k))
    assert len(good.results) > m.MAX_CALLS and m.log_gain(all_ended(good)) < math.log(2)


@pytest.mark.parametrize("allowed", [0.05, 0.3])
def test_a_failure_is_found_in_bounded_time_where_no_episode_ends(allowed: float) -> None:
    """A thousand episodes within a minute, one audited call each: none has ended, but only so many may go on at a time."""
    rng, evidence, n = np.random.default_rng(8), m.AuditEvidence(allowed), 0
    while not m.must_roll_back(evidence):
        n += 1
        assert n <= m.OPEN_EPISODES + 80
        evidence = m.observe(evidence, "s" if rng.random() < 0.8 else ".", episode=f"e{n}", now_s=0.05 * n)
