"""The limits of a comparison in shadow survive a file with their route."""

from __future__ import annotations

from deputize.core.records import Contract, Route, decode, encode
from deputize.core.shadow_plan import ShadowPlan


def test_a_plan_goes_to_a_file_and_comes_back_with_its_route() -> None:
    plan = ShadowPlan(share=0.2, until_s=9.0, budget_usd=1.5, only_compare=True)
    route = Route(
        id="r",
        task_id="t",
        task_name="sort",
        keys=[],
        contract=Contract(kind="text"),
        specialist="s",
        threshold=0.5,
        shadow=plan,
    )
    assert decode(encode(route), Route).shadow == plan
    assert ShadowPlan().share == 1.0 and ShadowPlan().until_s is None
