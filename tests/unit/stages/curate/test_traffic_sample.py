"""A sample with the composition of the traffic, out of audits and what a route left to the LLM."""

from __future__ import annotations

import random

import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Call, Decision
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import CurateOptions, run
from deputize.stages.curate.traffic_sample import (
    NOT_SERVING,
    TrafficSample,
    is_drawn,
    sampled_share,
    traffic_sample,
)
from deputize.testing import call


def left_to_llm(share: float | None, reason: str = "below_threshold") -> Decision:
    return Decision(route_id="route-a", reason=reason, audit_share=share)


@pytest.mark.parametrize(
    ("decision", "share"),
    [
        (None, 1.0),
        (Decision(reason="no_route"), 1.0),
        (Decision(reason="override"), 1.0),
        *((left_to_llm(None, reason), 1.0) for reason in NOT_SERVING),
        (left_to_llm(0.02), 0.02),
        (left_to_llm(0.5, "params:n"), 0.5),
        (left_to_llm(0.5, "outside_canary"), 0.5),
        (left_to_llm(0.0), 0.0),
        (left_to_llm(None), 0.0),
    ],
)
def test_the_share_is_that_of_the_route_at_the_moment(decision: Decision | None, share: float) -> None:
    assert sampled_share(decision) == share


def traffic(share_of: dict[int, float], n: int = 12_000) -> list[Call]:
    """Two calls in three are served, and audited by the share of their part of the log; "hard" ones go to the LLM."""
    rng, out = random.Random(1), list[Call]()
    for i in range(n):
        share = share_of[i * len(share_of) // n]
        if rng.random() < 2 / 3:
            out.append(call(f"c{i}", decision=Decision(served_by="slm", reason="live", route_id="route-a")))
            if rng.random() < share:
                audit = Decision(reason="audit", route_id="route-a", audit_share=share, audit_of=f"c{i}")
                out.append(call(f"c{i}-audit", decision=audit))
        else:
            out.append(call(f"c{i}", decision=left_to_llm(share)))
    return out


def test_the_composition_is_that_of_the_traffic_though_the_share_changes() -> None:
    calls = traffic({0: 0.02, 1: 0.2, 2: 0.5})
    sample = traffic_sample(calls)
    drawn = [c for c in calls if c.decision and c.decision.served_by == "llm" and is_drawn(c)]
    for part, share in enumerate((0.02, 0.2, 0.5)):
        mine = [c for c in drawn if int(c.id.removesuffix("-audit")[1:]) // 4000 == part]
        assert len(mine) == pytest.approx(4000 * share, rel=0.25)
        served = sum(c.id.endswith("-audit") for c in mine)
        assert served / len(mine) == pytest.approx(2 / 3, abs=0.14 if share < 0.1 else 0.05)
    assert {c.id for c in drawn}.isdisjoint(sample.training_only)
    assert len(drawn) + len(sample.training_only) + sample.n_served == len(calls)
    assert sample.n_audits == sum(c.id.endswith("-audit") for c in calls)
    assert traffic_sample(calls) == sample, "every run draws the same"


def test_second_answers_belong_to_their_audit() -> None:
    def audit(reason: str) -> Decision:
        return Decision(reason=reason, route_id="route-a", audit_share=0.1, audit_of="c")

    calls = [call("c-audit-2", decision=audit("audit_repeat")), call("c-audit", decision=audit("audit"))]
    sample = traffic_sample(calls)
    assert sample.repeated == {"c-audit": ("c-audit-2",)} and sample.audit_of == {"c-audit": "c"}
    assert not sample.training_only
    assert traffic_sample(calls[:1]).repeated == {}


def curated(
    n: int, training_only: frozenset[str], *, empty: frozenset[str] = frozenset(), **more: object
) -> Curated:
    calls = [
        Call(
            id=f"c{i:03d}",
            messages=[{"role": "user", "content": f"Is the weather number {i} fine? Answer yes or no."}],
            response={}
            if f"c{i:03d}" in empty
            else {"role": "assistant", "content": "yes" if i % 3 else "no"},
            episode=f"e{i}",
            timestamp=float(i),
            audience="code",
        )
        for i in range(n)
    ]
    options = CurateOptions(traffic=TrafficSample(training_only, **more))  # type: ignore[arg-type]
    detectors = DetectorSet([RuleDetector()])
    return run(calls, infer_sites(calls), Convert(), key=b"k" * 32, detectors=detectors, options=options)


def test_calls_beyond_the_sample_are_trained_on_where_they_are_old_enough_and_measured_nowhere() -> None:
    beyond = frozenset(f"c{i:03d}" for i in range(1, 200, 2))
    found = curated(200, beyond)
    split_of = {e.call_id: e.split for e in found.examples}
    sampled = [split for id, split in split_of.items() if id not in beyond]
    assert [sampled.count(s) for s in ("train", "validation", "calibration", "test")] == [56, 9, 25, 10]
    used = {id for id in beyond if id in split_of}
    assert {split_of[id] for id in used} == {"train"} and used == {i for i in beyond if i < "c111"}
    assert {e.call_id for e in found.examples if e.training_only} == used
    left = {w.call_id for w in found.withheld}
    assert left == beyond - used and {w.split for w in found.withheld} == {""}
    assert found.dropped["more calls left to the LLM than the traffic has"] == len(left)


def test_a_log_without_a_sample_is_trained_on_and_not_measured() -> None:
    found = curated(40, frozenset(f"c{i:03d}" for i in range(40)))
    assert {e.split for e in found.examples} == {"train"}


def test_an_empty_answer_is_measured_and_not_trained_on() -> None:
    found = curated(60, frozenset(), empty=frozenset(f"c{i:03d}" for i in range(0, 60, 6)))
    empty = [e for e in found.examples if not e.response]
    assert {e.split for e in empty} == {"train", "validation", "calibration", "test"}
    dropped = [e for e in empty if e.split in ("train", "validation")]
    assert {e.drop_reason for e in dropped} == {"empty answer"} and not any(e.trainable for e in dropped)


def test_second_answers_to_audits_are_repeated_samples() -> None:
    found = curated(40, frozenset(), repeated={"c010": ("c010-2",)})
    assert [e.call_id for e in found.examples if e.repeated] == ["c010"]
    assert found.examples[10].repeated == ["c010-2"]
