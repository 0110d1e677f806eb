"""Counts of recorded calls, and the episodes that are missing at a site."""

from __future__ import annotations

import pytest

from deputize.core.config import Convert
from deputize.core.records import Call, Decision, Usage
from deputize.pipeline.readiness import CallCounter, hopeless
from deputize.scoring.costs import load_prices
from deputize.stages.collect.audience import infer_sites
from deputize.testing import call

DAY = 86400.0
LABELS = ("refund", "shipping")


def labelled(n_episodes: int, **more: object) -> list[Call]:
    """One labelled call an episode, forty a day."""
    return [
        call(
            f"c{i}",
            f"ticket {i}",
            LABELS[i % 2],
            agent="desk",
            site="triage",
            episode=f"e{i}",
            timestamp=i * DAY / 40,
            **more,
        )
        for i in range(n_episodes)
    ]


def counter(since_s: float = 1e12) -> CallCounter:
    return CallCounter(Convert(), load_prices(), 2, since_s)


def test_a_site_says_how_many_episodes_are_missing_and_when_they_will_be_there() -> None:
    found = counter()
    found.add(labelled(80), "default")
    (site,) = found.counts().sites
    # 63 units without an error at epsilon .05 and level .04: at most 46 % in calibration, 11 % in the reserve
    assert (site.n_episodes, site.n_wanted) == (80, 111)
    assert site.feasibility is not None and not site.feasibility.possible
    assert site.verdict == "80 of 111 episodes, about 19 hours at this rate"
    tuned = CallCounter(Convert(methods=("lora",)), load_prices(), 2, 1e12)
    tuned.add(labelled(80), "default")
    assert tuned.counts().sites[0].verdict == "80 of 137 episodes, about 2 days at this rate"


def test_enough_is_enough() -> None:
    found = counter()
    found.add(labelled(160), "default")
    (site,) = found.counts().sites
    assert site.verdict == "enough" and site.n_wanted <= 140


def test_replies_for_people_are_not_waited_for() -> None:
    found = counter()
    found.add(labelled(80, audience="human"), "default")
    (site,) = found.counts().sites
    assert site.verdict == "its replies seem to be for people" and site.feasibility is None


def test_few_calls_in_many_episodes_need_the_least_number_of_calls() -> None:
    found = CallCounter(Convert(epsilon=0.4), load_prices(), 2, 1e12)
    found.add(labelled(30), "default")
    assert found.counts().sites[0].verdict == "30 of 60 calls"


def test_what_cannot_be_certified_is_said_by_the_calls_alone() -> None:
    few, enough = (infer_sites(labelled(n)).sites for n in (20, 400))
    assert "20 of" in hopeless(few, Convert()) and "--explore" in hopeless(few, Convert())
    assert "--explore" not in hopeless(few, Convert(explore=True))
    assert hopeless(enough, Convert()) == ""
    people = infer_sites(labelled(400, audience="human")).sites
    assert "All 400 replies seem to be for people" in hopeless(people, Convert())


def test_today_is_counted_by_route_and_audits_cost() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0)
    served = Decision(served_by="slm", reason="live", route_id="r1", specialist_ms=0.0)
    audit = Decision(reason="audit", route_id="r1", audit_of="a")
    old = call("z", timestamp=0.0, model="gpt-4o", usage=usage, decision=served)
    calls = [
        old,
        call("a", timestamp=DAY, model="gpt-4o", usage=usage, decision=served),
        call("b", timestamp=DAY, model="gpt-4o", usage=usage, decision=served),
        call("a-audit", timestamp=DAY, model="gpt-4o", usage=usage, decision=audit),
        call("c", timestamp=DAY, model="gpt-4o", usage=usage),
    ]
    found = counter(since_s=DAY)
    found.add(calls, "default")
    counts = found.counts()
    price = load_prices().of("gpt-4o").usd(usage)
    assert price > 0
    assert counts.n_calls == 4 and counts.newest_s == DAY
    one, every = counts.today["r1"], counts.today[""]
    assert (one.n_calls, one.n_served, every.n_calls, every.n_served) == (2, 2, 3, 2)
    assert one.saved_usd == pytest.approx(2 * price - price)
    assert every.llm_usd == pytest.approx(price)
