"""What a call costs with a route."""

from __future__ import annotations

import pytest

from deputize.scoring.call_costs import CallCosts, colder_cache_usd, expected_usd


def test_the_llm_is_paid_for_what_is_left_and_for_audits_the_specialist_always() -> None:
    costs = CallCosts(llm_usd=1.0, specialist_usd=0.1, audit_share=0.5, error_usd=20.0)
    assert expected_usd([0.0, 1.0], [0.0, 0.01], costs).tolist() == pytest.approx([1.1, 0.1 + 0.5 + 0.2])


def test_calls_that_are_left_to_the_llm_find_its_cache_colder() -> None:
    costs = CallCosts(llm_usd=1.0, specialist_usd=0.1, cache_usd=0.8)
    assert expected_usd([0.0, 0.5, 1.0], 0.0, costs).tolist() == pytest.approx([1.1, 0.1 + 0.5 + 0.2, 0.1])
    assert float(colder_cache_usd(0.8, 0.25)) == pytest.approx(0.8 * 0.75 * 0.25)
