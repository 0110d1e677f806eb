"""The figures of a replay: who answered, how well, at what cost."""

from __future__ import annotations

from dataclasses import replace as changed

from deputize.core.contracts import text_of
from deputize.core.records import Contract
from deputize.demo import replay, teacher
from deputize.demo.agent import Seen
from deputize.scoring.costs import load_prices


async def test_the_replay_counts_servers_agreement_and_cost(seen: list[Seen]) -> None:
    contract = Contract(kind="label", labels=["yes", "no"])
    checks = [s for s in seen if s.site == "policy_check"][:10]
    served = [_served(s, i) for i, s in enumerate(checks)]
    others = [s for s in seen if s.site == "triage"][:10]
    got = replay.score(
        [*served, *others], teacher.script(0), {"r1": contract}, load_prices(), "gpt-4o", n_cores=2
    )
    assert got["n_calls"] == 20
    assert got["by_server"]["slm"]["n_calls"] == 10
    assert got["by_server"]["slm"]["agreement"] == 0.9
    assert got["by_server"]["llm"]["agreement"] == 1.0
    assert got["by_site"]["policy_check"] == {"n_calls": 10, "n_slm": 10, "n_disagree": 1}
    assert got["disagreements"][0]["site"] == "policy_check"
    assert got["cost"]["routed_usd"] > 0 and got["cost"]["llm_only_usd"] > 0


def _served(one: Seen, index: int) -> Seen:
    turned = {"yes": "no", "no": "yes"}[text_of(one.response)]
    response = {"role": "assistant", "content": turned} if index == 0 else one.response
    return changed(one, served_by="slm", route="r1", response=response, latency_ms=5.0)
