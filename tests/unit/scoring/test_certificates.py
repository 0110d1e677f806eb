"""Certificates hold: exact numbers, validity under simulation, and a shift as negative control."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.scoring import certificates as c
from deputize.scoring.call_costs import CallCosts, expected_usd


@pytest.mark.parametrize(("epsilon", "n"), [(0.10, 29), (0.05, 59), (0.02, 149), (0.01, 299)])
def test_zero_errors_need_as_many_units_as_the_binomial_says(epsilon: float, n: int) -> None:
    assert c.units_needed(epsilon, 0.05) == n
    assert c.binomial_tail(0, n, epsilon) <= 0.05 < c.binomial_tail(0, n - 1, epsilon)


@given(st.floats(0.005, 0.3), st.floats(0.01, 0.3), st.integers(0, 6))
def test_units_needed_is_the_first_that_suffices(epsilon: float, delta: float, errors: int) -> None:
    n = c.units_needed(epsilon, delta, errors)
    assert c.binomial_tail(errors, n, epsilon) <= delta < c.binomial_tail(errors, n - 1, epsilon)
    assert c.units_needed(epsilon, delta, errors + 1) > n


def test_units_needed_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        c.units_needed(0.0, 0.05)


def test_exact_tail_is_tighter_than_the_bet() -> None:
    assert c.exact_p(0, 149, 0.02)[0] <= 0.05
    assert c.betting_p(np.zeros(149), 0.02, 0.05)[0] > 0.05
    assert c.betting_p(np.zeros(210), 0.02, 0.05)[0] <= 0.05


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=200),
    st.floats(0.01, 0.4),
)
def test_p_values_rise_with_errors_and_fall_with_epsilon(errors: list[int], epsilon: float) -> None:
    worse = [*errors[:-1], 1]
    assert (
        c.exact_p(sum(errors), len(errors), epsilon)[0]
        <= c.exact_p(sum(worse), len(worse), epsilon)[0] + 1e-12
    )
    assert (
        c.exact_p(sum(errors), len(errors), epsilon)[0]
        >= c.exact_p(sum(errors), len(errors), min(0.9, epsilon + 0.1))[0] - 1e-12
    )
    assert 0 <= c.betting_p(errors, epsilon, 0.05)[0] <= 1


@pytest.mark.parametrize("epsilon", [0.02, 0.1])
@pytest.mark.parametrize("p_minus", [0.0, 0.1, 0.25])
def test_betting_p_values_are_super_uniform_at_the_border(epsilon: float, p_minus: float) -> None:
    """2,000 samples with E[D] = epsilon exactly: P[p <= a] <= a at every level, whatever delta tunes the stakes."""
    rng = np.random.default_rng(7)
    draws = rng.random((300, 2000))
    difference = np.where(draws < p_minus, -1.0, np.where(draws > 1 - p_minus - epsilon, 1.0, 0.0))
    p = c.betting_p(difference, epsilon, 0.05)
    for level in (0.01, 0.05, 0.1, 0.3):
        assert np.mean(p <= level) <= level + 3 * np.sqrt(level * (1 - level) / 2000)


def test_betting_has_power() -> None:
    rng = np.random.default_rng(3)
    draws = rng.random((1500, 200))
    difference = np.where(draws < 0.05, -1.0, np.where(draws > 0.95, 1.0, 0.0))  # as good as the LLM
    assert np.mean(c.betting_p(difference, 0.05, 0.05) <= 0.05) > 0.9


def simulate(
    rng: np.random.Generator, n_splits: int, n: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Confidences that are honest up to `shift`: P[wrong] = 1 - confidence + shift."""
    confidence = rng.beta(5, 0.7, size=(n_splits, n)).clip(1e-6, 1)
    return confidence, rng.random((n_splits, n)) < np.clip(1 - confidence + shift, 0, 1)


def violations(
    kind: str, epsilon: float, delta: float, shift: float, n_splits: int = 600
) -> tuple[float, float]:
    """(share of splits whose true loss at the chosen threshold is above epsilon, mean share served)."""
    rng = np.random.default_rng(11)
    validation, _ = simulate(rng, 1, 300)
    grid = c.threshold_grid(validation[0])
    truth, wrong = simulate(rng, 1, 400_000, shift)
    confidence, errors = simulate(rng, n_splits, 600)
    bad, shares = 0, []
    for s, e in zip(confidence, errors, strict=True):
        losses = c.losses_beyond(rng.random(600) < 0.1, e) if kind == "not_worse_than_repeats" else None
        v = c.certify(kind, s, e, grid, epsilon, delta, losses=losses)  # type: ignore[arg-type]
        if not v.n_passed:
            shares.append(0.0)
            continue
        served = truth[0] >= v.thresholds_L[v.n_passed - 1]
        loss = (served * (wrong[0] - (0.1 if kind == "not_worse_than_repeats" else 0))).mean()
        bad += loss > epsilon
        shares.append(served.mean())
    return bad / n_splits, float(np.mean(shares))


@pytest.mark.parametrize(
    ("kind", "epsilon"),
    [("not_worse_than_llm", 0.02), ("not_worse_than_repeats", 0.02)],
)
def test_violations_stay_below_delta(kind: str, epsilon: float) -> None:
    rate, share = violations(kind, epsilon, 0.1, shift=0.0)
    assert rate <= 0.1
    assert share > 0.2


def test_a_shift_after_calibration_breaks_the_claim() -> None:
    """Negative control: the simulation can see violations where they are."""
    rate, _ = violations("not_worse_than_llm", 0.02, 0.1, shift=0.06)
    assert rate > 0.5


def test_calls_instead_of_groups_would_break_the_claim() -> None:
    """Why one call per group: with 12 alike calls a group, counting all of them violates; drawing one does not."""
    rng = np.random.default_rng(5)
    n_groups, size, rate, n_splits = 100, 12, 0.05, 500
    bad_group = rng.random((n_splits, n_groups)) < rate  # true loss is exactly .05: any pass is a violation
    groups = [str(g) for g in range(n_groups) for _ in range(size)]
    naive = honest = 0
    for split in bad_group:
        wrong = np.repeat(split, size)
        naive += c.exact_p(wrong.sum(), wrong.size, 0.05)[0] <= 0.05
        honest += c.exact_p((drawn := wrong[c.draw_units(groups, 1)]).sum(), drawn.size, 0.05)[0] <= 0.05
    assert naive / n_splits > 0.15
    assert honest / n_splits <= 0.05 + 0.02


def test_units_are_one_call_of_every_group_and_reproducible() -> None:
    groups = ["b", "a", "a", "c", "b", "b"]
    first = c.draw_units(groups, 4)
    assert sorted(groups[i] for i in first) == ["a", "b", "c"]
    assert list(first) == list(c.draw_units(groups, 4))
    seen = {int(i) for seed in range(60) for i in c.draw_units(groups, seed)}
    assert seen == set(range(6))
    assert c.draw_units([], 0).size == 0


@given(st.lists(st.floats(-0.5, 1.0), max_size=300))
def test_grid_is_strict_to_permissive_positive_and_short(confidence: list[float]) -> None:
    grid = c.threshold_grid(confidence)
    assert grid.size <= c.MAX_THRESHOLDS
    assert np.all(np.diff(grid) < 0) and np.all(grid > 0)
    assert set(grid) <= set(confidence)


def test_fixed_sequence_stops_at_the_first_failure() -> None:
    assert c.fixed_sequence([float("nan"), 0.01], 0.05) == 0
    assert c.fixed_sequence([0.01, 0.04, 0.06, 0.001], 0.05) == 2
    assert c.fixed_sequence([0.2], 0.05) == 0
    assert c.fixed_sequence([], 0.05) == 0


def test_never_served_calls_are_never_served() -> None:
    confidence = np.full(200, c.NEVER)
    v = c.certify("not_worse_than_llm", confidence, np.ones(200, bool), [0.9, 0.1], 0.02, 0.05)
    # serving nothing is safe; evaluate refuses it as useless
    assert list(v.n_served_L) == [0, 0] and v.n_passed == 2


def test_a_lax_grid_is_refused_when_not_ordered() -> None:
    with pytest.raises(ValueError, match="strict to permissive"):
        c.certify("not_worse_than_llm", [0.5], [False], [0.1, 0.9], 0.02, 0.05)
    with pytest.raises(ValueError, match="outcomes"):
        c.certify("not_worse_than_llm", [0.5, 0.2], [False], [0.9], 0.02, 0.05)


def test_cheapest_counts_the_double_spend() -> None:
    rng = np.random.default_rng(0)
    v = c.certify("not_worse_than_llm", rng.random(400), np.zeros(400, bool), [0.9, 0.5, 0.1], 0.02, 0.05)
    assert v.n_passed == 3
    costs = CallCosts(llm_usd=1.0, specialist_usd=0.1)
    assert c.cheapest(v, [0.1, 0.5, 0.9], costs) == 2
    assert c.cheapest(v, [0.1, 0.5, 0.5], costs) == 1  # as cheap and stricter
    assert expected_usd([0.0, 1.0], 0.0, costs).tolist() == pytest.approx([1.1, 0.1])
    worse = c.certify("not_worse_than_llm", rng.random(400), np.ones(400, bool), [0.01], 0.02, 0.05)
    assert c.cheapest(worse, [1.0], costs) is None


def test_audits_and_wrong_answers_cost_too() -> None:
    costs = CallCosts(llm_usd=1.0, specialist_usd=0.1, audit_share=0.5, error_usd=20.0)
    assert expected_usd([0.0, 1.0], [0.0, 0.01], costs).tolist() == pytest.approx([1.1, 0.1 + 0.5 + 0.2])
    wrong = np.zeros(400, bool)
    wrong[:6] = True  # all of them among the less sure
    confidence = np.where(np.arange(400) < 100, 0.3, 0.9)
    v = c.certify("not_worse_than_llm", confidence, wrong, [0.8, 0.2], 0.05, 0.05)
    assert v.n_passed == 2
    free = CallCosts(llm_usd=1.0, specialist_usd=0.0)
    assert c.cheapest(v, [0.75, 1.0], free) == 1
    assert c.cheapest(v, [0.75, 1.0], CallCosts(1.0, 0.0, error_usd=50.0)) == 0, (
        "6 errors at 50 for 100 calls at 1"
    )


def test_held_out_calls_contradict_a_certificate_where_the_loss_would_be_unlikely() -> None:
    few, many = np.zeros(300), np.zeros(300)
    few[:15], many[:40] = 1.0, 1.0
    assert c.contradicted_p(few, 0.05) > 0.4 and c.contradicted_p(many, 0.05) < 1e-6
    assert c.contradicted_p([], 0.05) == c.contradicted_p(np.zeros(9), 0.05) == 1.0
    rng = np.random.default_rng(1)
    blocked = [c.contradicted_p(rng.random(300) < 0.05, 0.05) <= 0.01 for _ in range(2000)]
    assert np.mean(blocked) <= 0.016, "a route at its limit is blocked once in a hundred times"
    against_repeats = np.where(rng.random(2000) < 0.3, 1.0, np.where(rng.random(2000) < 0.1, -1.0, 0.0))
    assert c.contradicted_p(against_repeats, 0.05) < 0.01


def _uneven_log(
    rng: np.random.Generator, n_groups: int, long: int, bad: float
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """One call in four of five groups, `long` in the fifth; only calls of long groups are wrong, at rate `bad`."""
    groups: list[str] = []
    wrong: list[bool] = []
    for g in range(n_groups):
        size = long if rng.random() < 0.2 else 1
        groups += [f"g{g}"] * size
        wrong += list((rng.random(size) < bad) & (size > 1))
    return groups, np.ones(len(groups)), np.asarray(wrong)


def test_a_claim_about_calls_is_drawn_by_calls() -> None:
    """Long episodes are harder: the rate over calls is .073, over episodes .016. epsilon .05, delta .05, 300 logs."""
    broken = {"calls": 0, "groups": 0}
    for s in range(300):
        groups, confidence, wrong = _uneven_log(np.random.default_rng(s), 900, 20, 0.08)
        grid = c.threshold_grid(confidence)
        for name, at in (
            ("calls", c.draw_calls(groups, 20, s)),
            ("groups", c.draw_units(groups, s)),
        ):
            test = c.certify("not_worse_than_llm", confidence[at], wrong[at], grid, 0.05, 0.05)
            broken[name] += test.n_passed > 0
    assert broken["calls"] / 300 <= 0.05
    assert broken["groups"] / 300 > 0.5


def test_every_call_is_drawn_equally_often() -> None:
    groups = ["a", "b", "b", "c", "c", "c"]
    n = np.zeros(6)
    for s in range(6000):
        n[c.draw_calls(groups, 3, s)] += 1
    assert np.all(np.abs(n / 6000 - 1 / 3) < 0.03)


def test_a_group_over_the_largest_counts_as_the_largest() -> None:
    groups = ["a"] * 10 + ["b", "b"]
    sizes = [len(c.draw_calls(groups, 2, s)) for s in range(50)]
    assert set(sizes) == {2}


@pytest.mark.parametrize("rate", [0.16, 0.25])
def test_of_the_served_no_more_than_the_limit_are_wrong(rate: float) -> None:
    """A fifth is served, `rate` of it wrong: within epsilon .05 of all calls, but over .15 of the served."""
    both = alone = 0
    for s in range(400):
        rng = np.random.default_rng(s)
        confidence = np.where(rng.random(600) < 0.2, 0.9, 0.1)
        wrong = np.where(confidence > 0.5, rng.random(600) < rate, True)
        grid = np.array([0.9])
        alone += c.certify("not_worse_than_llm", confidence, wrong, grid, 0.05, 0.05).n_passed
        both += c.certify(
            "not_worse_than_llm", confidence, wrong, grid, 0.05, 0.05, served_limit=0.15
        ).n_passed
    assert both / 400 <= 0.05
    assert alone > both


def test_the_served_limit_holds_with_a_loss_of_the_llm() -> None:
    """The LLM is wrong on 10 % of the served, the specialist on 30 %: .2 more than the LLM, .15 allowed."""
    passed = 0
    for s in range(200):
        rng = np.random.default_rng(s)
        wrong, llm = rng.random(500) < 0.3, (rng.random(500) < 0.1).astype(float)
        test = c.certify(
            "not_worse_than_repeats",
            np.full(500, 0.9),
            wrong,
            np.array([0.5]),
            0.4,
            0.05,
            losses=c.losses_beyond(llm, wrong),
            served_limit=0.15,
        )
        passed += test.n_passed
    assert passed / 200 <= 0.05


def _passes(p: float) -> Callable[[float], bool]:
    return lambda level: p <= level


def test_levels_of_a_family_start_at_an_equal_share_and_pass_on() -> None:
    p_all = [0.001, 0.03, 0.2]
    levels = c.family_levels([_passes(p) for p in p_all], 0.05)
    # the first passes whole at .05 / 3; its level goes to the others in halves
    assert levels == pytest.approx([0.05 / 3, 0.025, 0.025])
    assert c.family_levels([lambda level: False] * 4, 0.08) == pytest.approx([0.02] * 4)
    assert c.family_levels([], 0.05) == []


def test_a_family_of_forty_false_tasks_is_certified_once_in_twenty_at_most() -> None:
    rng = np.random.default_rng(5)
    hits = {"family": 0, "each": 0}
    for _ in range(400):
        p = np.array([c.exact_p((rng.random(100) < 0.051).sum(), 100, 0.05)[0] for _ in range(40)])
        levels = c.family_levels([_passes(float(x)) for x in p], 0.05)
        hits["family"] += bool(np.any(p <= np.array(levels)))
        hits["each"] += bool(np.any(p <= 0.05))
    assert hits["family"] / 400 <= 0.05 < hits["each"] / 400


@pytest.mark.parametrize(
    "rates", [(0.02, 0.10, 0.22), (0.16, 0.16, 0.16), (0.30, 0.10, 0.30), (0.9, 0.02, 0.30)]
)
def test_a_start_where_enough_are_served_breaks_no_promise(rates: tuple[float, ...]) -> None:
    """Error rates that rise, stay or fall with falling confidence; few units at the strictest threshold, as many as
    needed or not."""
    rng, grid, limit, delta = np.random.default_rng(5), np.array([0.9, 0.6, 0.3]), 0.15, 0.10
    share = np.array([0.12, 0.3, 0.4])
    truth = np.cumsum(share * rates) / np.cumsum(share)
    n_broken = 0
    for _ in range(2000):
        bin_N = rng.choice(4, size=120, p=[*share, 1 - share.sum()])
        confidence = np.array([0.95, 0.7, 0.4, 0.1])[bin_N]
        wrong = rng.random(120) < np.array([*rates, 0.5])[bin_N]
        made = c.certify("not_worse_than_llm", confidence, wrong, grid, 0.5, delta, served_limit=limit)
        passed = made.thresholds_L[: made.n_passed]
        n_broken += bool((truth[np.isin(grid, passed)] > limit).any())
    assert n_broken / 2000 <= delta + 3 * (delta * (1 - delta) / 2000) ** 0.5


def test_every_threshold_is_every_finite_confidence_that_can_be_served() -> None:
    given = [0.5, c.NEVER, 0.9, 0.5, 0.0, np.inf, 0.1]
    assert c.every_threshold(given).tolist() == [0.9, 0.5, 0.1]
    assert c.every_threshold([]).size == c.every_threshold([0.0]).size == 0


@pytest.mark.parametrize(("constant", "slope"), [(0.06, 0.0), (0.16, 0.0), (0.0, 0.12), (0.10, 0.14)])
def test_a_walk_over_the_units_own_confidences_breaks_no_promise(constant: float, slope: float) -> None:
    """Confidence u, error rate constant + slope (1 - u): of all calls .05 is claimed, of the served .15."""
    rng, delta, n_splits, n_broken, n_certified = np.random.default_rng(7), 0.10, 1500, 0, 0
    for _ in range(n_splits):
        confidence = rng.random(300)
        wrong = rng.random(300) < constant + slope * (1 - confidence)
        grid = c.every_threshold(confidence)
        made = c.certify("not_worse_than_llm", confidence, wrong, grid, 0.05, delta, served_limit=0.15)
        if made.n_passed:
            served = 1 - made.thresholds_L[made.n_passed - 1]
            among_served = constant + slope * served / 2
            n_broken += served * among_served > 0.05 or among_served > 0.15
            n_certified += 1
    assert n_broken / n_splits <= delta + 3 * (delta * (1 - delta) / n_splits) ** 0.5
    assert n_certified or constant > 0.15


def test_own_confidences_serve_more_than_a_few_thresholds_from_elsewhere() -> None:
    rng, own, coarse = np.random.default_rng(3), list[float](), list[float]()
    for _ in range(60):
        confidence, validation = rng.random(600), rng.random(200)
        wrong = rng.random(600) < 0.12 * (1 - confidence)
        for grid, shares in (
            (c.every_threshold(confidence), own),
            (c.threshold_grid(validation, 12), coarse),
        ):
            made = c.certify("not_worse_than_llm", confidence, wrong, grid, 0.02, 0.05)
            shares.append(1 - made.thresholds_L[made.n_passed - 1] if made.n_passed else 0.0)
    assert np.mean(own) > np.mean(coarse) + 0.01


def test_one_odd_unit_among_the_surest_does_not_end_the_walk_where_many_are_served() -> None:
    confidence = np.linspace(1, 0.01, 500)
    wrong = np.zeros(500, dtype=bool)
    wrong[[3, 20]] = True
    grid = c.every_threshold(confidence)
    many = c.certify("not_worse_than_llm", confidence, wrong, grid, 0.05, 0.05, served_limit=0.15)
    assert many.n_served_L[0] == c.units_needed(0.15, 0.05, 2) and many.n_passed == many.thresholds_L.size
    few = slice(0, 25)
    small = c.certify(
        "not_worse_than_llm", confidence[few], ~wrong[few] & False, grid[few], 0.5, 0.05, served_limit=0.15
    )
    assert small.n_served_L[0] == c.units_needed(0.15, 0.05, 0), "with few units none may be wrong"


def test_a_grid_gives_what_a_table_of_units_by_thresholds_gives() -> None:
    """For the exact test and for betting, with ties and calls that are never served."""
    r = np.random.default_rng(3)
    confidence = np.where(r.random(200) < 0.2, c.NEVER, r.integers(1, 60, 200) / 60)
    wrong, grid = r.random(200) < 0.03, c.every_threshold(confidence)
    served = confidence[:, None] >= grid
    exact = c.certify("not_worse_than_llm", confidence, wrong, grid, 0.1, 0.05)
    assert exact.n_served_L.tolist() == served.sum(0).tolist()
    assert exact.n_errors_L.tolist() == (served & wrong[:, None]).sum(0).tolist()
    assert exact.p_values_L.tolist() == c.exact_p((served & wrong[:, None]).sum(0), 200, 0.1).tolist()
    losses = c.losses_beyond(r.random(200) / 9, wrong)
    bet = c.certify(
        "not_worse_than_repeats", confidence, wrong, grid, 0.1, 0.05, losses=losses, served_limit=0.2
    )
    first = grid.size - bet.thresholds_L.size
    table = c.betting_p(losses(np.ones(200, bool))[:, None] * served[:, first:], 0.1, 0.05)
    of_served = [c.betting_p(losses(served[:, at]), 0.2, 0.05)[0] for at in range(first, grid.size)]
    assert np.allclose(bet.p_values_L, np.maximum(table, of_served), rtol=1e-12)


def test_the_memory_of_a_test_grows_with_its_units_not_with_their_square() -> None:
    confidence = np.random.default_rng(0).random(20_000) + 0.1
    wrong = np.zeros(confidence.size, dtype=bool)
    tracemalloc.start()
    made = c.certify(
        "not_worse_than_llm", confidence, wrong, c.every_threshold(confidence), 0.05, 0.05, served_limit=0.1
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.n_passed == made.thresholds_L.size > 19_000
    assert peak < 20 * 2**20  # a table of booleans would be 400 MB
