"""A route is worth it where it saves money; where the LLM has no price, where it saves time."""

from __future__ import annotations

import pytest

from deputize.scoring.call_costs import CallCosts
from deputize.stages.evaluate.route_worth import not_worth, weighed


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (CallCosts(llm_usd=1e-3, specialist_usd=1e-5), ""),
        # money saved is a saving, however slow; the report warns of it
        (CallCosts(llm_usd=1e-3, specialist_usd=1e-5, llm_s=0.1, specialist_s=9.0), ""),
        (CallCosts(llm_usd=1e-5, specialist_usd=1e-3), "cost more than it saves"),
        (
            CallCosts(llm_usd=1e-5, specialist_usd=1e-3, llm_s=0.2, specialist_s=2.0),
            "a call takes 2 s here and 0.2 s with",
        ),
        (CallCosts(llm_usd=0.0, specialist_usd=1e-6), "cost more than it saves"),
        (CallCosts(llm_usd=0.0, specialist_usd=1e-6, llm_s=1.0, specialist_s=0.1), ""),
        # a tenth is left to the LLM, after the specialist was waited for
        (
            CallCosts(llm_usd=0.0, specialist_usd=1e-6, llm_s=1.0, specialist_s=0.95),
            "a call takes 1 s on average|1.1 s on average",
        ),
        # a wrong answer that costs dollars is not made up for by seconds
        (
            CallCosts(llm_usd=0.0, specialist_usd=0.0, error_usd=5.0, llm_s=1.0, specialist_s=0.1),
            "wrong answers 0.05",
        ),
    ],
)
def test_what_is_said_of_a_route_that_saves_nothing(costs: CallCosts, said: str) -> None:
    found = not_worth(0.9, 0.01, costs)
    assert bool(found) == bool(said)
    assert any(words in found for words in said.split("|"))


def test_audits_are_paid_and_not_waited_for() -> None:
    own = CallCosts(llm_usd=0.0, specialist_usd=0.0, audit_share=1.0, llm_s=1.0, specialist_s=0.5)
    assert weighed(own) == CallCosts(llm_usd=1.0, specialist_usd=0.5)
    assert not_worth(0.9, 0.0, own) == ""
    paid = CallCosts(llm_usd=1.0, specialist_usd=0.0, audit_share=1.0, llm_s=1.0, specialist_s=0.5)
    assert weighed(paid) is paid and "audits 0.9" in not_worth(0.9, 0.0, paid)
