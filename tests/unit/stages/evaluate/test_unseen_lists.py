"""A claim about unseen tools has to pass on the calls with one alone as well."""

from __future__ import annotations

import numpy as np
from tests.unit.stages.evaluate.test_certify import COSTS, GRID, changed, outcomes, reading

from deputize.stages.evaluate import certify
from deputize.stages.evaluate.unseen_lists import passing_both


def test_a_claim_about_unseen_tools_is_tested_on_them_alone_as_well() -> None:
    of = outcomes(1000)
    good = changed(of, right_N=np.ones(1000, dtype=bool), unseen_N=np.arange(1000) % 2 == 0)
    made = certify.attempt(reading(good), GRID, 0.05, 0.05, COSTS)
    assert made.index is not None and made.n_unseen == 500
    plain = certify.attempt(
        reading(changed(good, unseen_N=np.zeros(1000, dtype=bool))), GRID, 0.05, 0.05, COSTS
    )
    assert plain.n_unseen == 0 and plain.index is not None
    # a twentieth of the calls is unseen and always wrong: over all calls that is still within the limit of .1
    rare = np.arange(1000) % 20 == 0
    bad = changed(of, right_N=~rare, unseen_N=rare)
    refused = certify.attempt(reading(bad), GRID, 0.1, 0.05, COSTS)
    assert refused.index is None and "alone" in refused.reason and refused.share_served == 0.0
    assert (
        certify.attempt(reading(changed(bad, unseen_N=~rare & rare)), GRID, 0.1, 0.05, COSTS).index
        is not None
    )


def test_what_the_test_of_the_unseen_did_not_reach_is_not_passed() -> None:
    """The walk over the unseen begins at .7: a stricter threshold was tested on all calls only."""
    confidence = np.linspace(0.5, 1.0, 2000)
    rare = (np.arange(2000) % 10 == 0) & (confidence < 0.75)
    of = changed(outcomes(2000), confidence_N=confidence, right_N=np.ones(2000, dtype=bool))
    whole = certify.attempt(reading(of), GRID, 0.1, 0.05, COSTS, served_limit=0.3).sequence
    part = of.take(np.flatnonzero(rare))
    alone = certify.attempt(reading(part), GRID, 0.1, 0.05, COSTS, served_limit=0.3).sequence
    shares = np.array(passing_both(whole, alone, [of.share_served(t) for t in whole.thresholds_L]))
    assert 0 < alone.thresholds_L[0] < 0.75 and alone.n_passed
    assert not shares[whole.thresholds_L > alone.thresholds_L[0]].any() and shares[-20:].any()


def test_the_threshold_is_the_stricter_one_of_both_tests() -> None:
    of = changed(outcomes(2000), confidence_N=np.random.default_rng(0).uniform(0.2, 1.0, 2000))
    unseen = np.arange(2000) % 4 == 0
    wrong = unseen & (of.confidence_N < np.quantile(of.confidence_N, 0.6))
    both = changed(of, right_N=~wrong, unseen_N=unseen)
    made = certify.attempt(reading(both), GRID, 0.1, 0.05, COSTS)
    alone = certify.attempt(
        reading(changed(both, unseen_N=np.zeros(2000, dtype=bool))), GRID, 0.1, 0.05, COSTS
    )
    assert made.threshold is not None and alone.threshold is not None
    assert made.threshold > alone.threshold and made.share_served < alone.share_served
