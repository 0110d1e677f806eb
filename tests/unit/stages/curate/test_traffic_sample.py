"""A sample with the composition of the traffic, out of audits and what a route left to the LLM."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.decision_reason import NOT_SERVING
from deputize.core.records import Call, Decision
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import CurateOptions, run
from deputize.stages.curate.traffic_sample import TrafficSample, traffic_sample
from deputize.testing import call


def left_to_llm(share: float | None, reason: str = "below_threshold") -> Decision:
    return Decision(route_id="route-a", reason=reason, audit_share=share)


def served(share: float, reason: str = "live") -> Decision:
    return Decision(served_by="slm", reason=reason, route_id="route-a", audit_share=share)


@pytest.mark.parametrize(
    ("decision", "share"),
    [
        (None, 1.0),
        (Decision(reason="no_route"), 1.0),
        *((left_to_llm(None, reason), 1.0) for reason in NOT_SERVING),
        *((left_to_llm(0.5, reason), 1.0) for reason in NOT_SERVING),
        (left_to_llm(0.1), 0.1),
        (left_to_llm(0.5, "params:n"), 0.5),
        (left_to_llm(0.5, "outside_canary"), 0.5),
        (left_to_llm(0.0), 0.0),
        # the caller chose the model
        (Decision(reason="override"), 0.0),
        (left_to_llm(None, "override"), 0.0),
        (left_to_llm(None, "contract"), 0.0),
        # nothing but changed prompts came any more
        (left_to_llm(0.02, "prompt_changed"), 1.0),
    ],
)
def test_the_share_is_that_of_the_route_at_the_moment(decision: Decision | None, share: float) -> None:
    sample = traffic_sample([call(f"c{i}", decision=decision) for i in range(500)])
    assert 1 - len(sample.training_only) / 500 == pytest.approx(share, abs=0.06 if 0 < share < 1 else 0)


def traffic(
    share_of: dict[int, float], n: int = 12_000, *, made: Callable[[int], float] = lambda _: 1.0
) -> list[Call]:
    """Two calls in three are served, and audited by the share of their part of the log; "hard" ones go to the LLM.

    Args:
        share_of: part of the log -> audited share.
        n: calls.
        made: position -> share of the due audits that do not fail there.
    """
    rng, out = random.Random(1), list[Call]()
    for i in range(n):
        share = share_of[i * len(share_of) // n]
        if rng.random() < 2 / 3:
            out.append(call(f"c{i}", decision=served(share)))
            if rng.random() < share * made(i):
                audit = Decision(reason="audit", route_id="route-a", audit_share=share, audit_of=f"c{i}")
                out.append(call(f"c{i}-audit", decision=audit))
        else:
            out.append(call(f"c{i}", decision=left_to_llm(share)))
    return out


def drawn_of(calls: list[Call]) -> list[Call]:
    """The calls of the sample."""
    beyond = traffic_sample(calls).training_only
    return [c for c in calls if c.decision and c.decision.served_by == "llm" and c.id not in beyond]


def position(one: Call) -> int:
    return int(one.id.removesuffix("-audit")[1:])


def test_the_composition_is_that_of_the_traffic_though_the_share_changes() -> None:
    calls = traffic({0: 0.02, 1: 0.2, 2: 0.5})
    sample, drawn = traffic_sample(calls), drawn_of(calls)
    for part, share in enumerate((0.02, 0.2, 0.5)):
        mine = [c for c in drawn if position(c) // 4000 == part]
        assert len(mine) == pytest.approx(4000 * share, rel=0.25)
        n_served = sum(c.id.endswith("-audit") for c in mine)
        assert n_served / len(mine) == pytest.approx(2 / 3, abs=0.14 if share < 0.1 else 0.05)
    assert len(drawn) + len(sample.training_only) + sample.n_served == len(calls)
    assert sample.n_audits == sum(c.id.endswith("-audit") for c in calls)
    assert traffic_sample(calls) == sample, "every run draws the same"


def test_each_call_is_drawn_by_the_share_of_the_process_that_answered_it() -> None:
    """One worker has the new settings already, one the old; before that nothing was audited. Today's share says
    nothing."""
    old, new = traffic({0: 0.0, 1: 0.1}, 12_000), traffic({0: 0.0, 1: 0.4}, 12_000)
    calls = [one for pair in zip(old, new, strict=False) for one in pair]
    names = {id(one): f"{'on'[at % 2]}-{one.id}" for at, one in enumerate(calls)}
    calls = [replace(one, id=names[id(one)]) for one in calls]
    beyond = traffic_sample(calls).training_only
    for worker, share in (("o", 0.1), ("n", 0.4)):
        mine = [c for c in calls if c.id[0] == worker and c.decision and c.decision.served_by == "llm"]
        left = [c for c in mine if not c.id.endswith("-audit")]
        for part in (0.0, share):
            theirs = [c for c in left if c.decision and c.decision.audit_share == part]
            drawn = sum(c.id not in beyond for c in theirs) / len(theirs)
            assert drawn == pytest.approx(part, abs=0.05 if part else 0.0)


def test_audits_that_fail_thin_what_was_left_to_the_llm_as_well() -> None:
    """In the second half nine audits in ten fail: without it, most of the sample there would be hard calls."""
    calls = traffic({0: 0.2}, 24_000, made=lambda i: 1.0 if i < 12_000 else 0.1)
    drawn = drawn_of(calls)
    for newer, n_expected in ((False, 2400), (True, 240)):
        mine = [c for c in drawn if (position(c) >= 12_000) == newer]
        assert len(mine) == pytest.approx(n_expected, rel=0.2)
        assert sum(c.id.endswith("-audit") for c in mine) / len(mine) == pytest.approx(2 / 3, abs=0.08)


def test_few_due_audits_say_nothing_of_the_share() -> None:
    """One audit of two calls that were served: the other calls are drawn by the share that was set."""
    audit = Decision(reason="audit", route_id="route-a", audit_share=0.1, audit_of="s1")
    calls = [call("s0", decision=served(0.1)), call("s1", decision=served(0.1)), call("a", decision=audit)]
    calls += [call(f"c{i}", decision=left_to_llm(0.1)) for i in range(500)]
    assert len(drawn_of(calls)) == pytest.approx(51, abs=15)


def test_answers_that_were_cut_off_or_asked_for_are_not_among_those_that_are_audited() -> None:
    calls = []
    for i in range(500):
        audit = Decision(reason="audit", route_id="route-a", audit_share=0.5, audit_of=f"s{i}")
        calls += [
            call(f"cut{i}", decision=served(0.5), aborted=True),
            call(f"asked{i}", decision=served(0.5, "override")),
            call(f"s{i}", decision=served(0.5)),
            *([call(f"a{i}", decision=audit)] if i % 2 else []),
            call(f"c{i}", decision=left_to_llm(0.5)),
        ]
    sample = traffic_sample(calls)
    assert len(sample.training_only) == pytest.approx(250, abs=35) and sample.n_served == 1500


def test_calls_whose_model_the_caller_chose_are_counted() -> None:
    calls = [call(f"c{i}", decision=Decision(reason="override")) for i in range(3)]
    assert traffic_sample(calls).n_overridden == 3


def test_changed_prompts_are_drawn_as_long_as_the_route_goes_on() -> None:
    """Half of the agents have a new prompt; then all of them."""
    changed = left_to_llm(0.1, "prompt_changed")
    calls = []
    for i in range(1000):
        calls += [call(f"n{i}", decision=changed), call(f"o{i}", decision=left_to_llm(0.1))]
    calls += [call(f"later{i}", decision=changed) for i in range(1000)]
    sample = traffic_sample(calls)
    new, old = (sum(f"{kind}{i}" in sample.training_only for i in range(1000)) for kind in "no")
    assert new == pytest.approx(900, abs=30) and old == pytest.approx(900, abs=30)
    assert sample.after_change == {f"later{i}" for i in range(1000)}
    assert sample.after_change.isdisjoint(sample.training_only)


def test_second_answers_belong_to_their_audit() -> None:
    def audit(reason: str) -> Decision:
        return Decision(reason=reason, route_id="route-a", audit_share=0.1, audit_of="c")

    calls = [call("c-audit-2", decision=audit("audit_repeat")), call("c-audit", decision=audit("audit"))]
    sample = traffic_sample(calls)
    assert sample.repeated == {"c-audit": ("c-audit-2",)} and sample.audit_of == {"c-audit": "c"}
    assert not sample.training_only
    assert traffic_sample(calls[:1]).repeated == {}


def test_second_answers_beside_a_shadow_belong_to_the_call() -> None:
    shadow = Decision(reason="shadow", route_id="route-a", specialist="s", shadow_agrees=True)
    again = Decision(reason="audit_repeat", route_id="route-a", audit_of="c")
    sample = traffic_sample([call("c-repeat", decision=again), call("c", decision=shadow)])
    assert sample.repeated == {"c": ("c-repeat",)} and not sample.training_only


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
    assert [sampled.count(s) for s in ("train", "validation", "calibration", "test")] == [49, 16, 25, 10]
    used = {id for id in beyond if id in split_of}
    assert {split_of[id] for id in used} == {"train"} and used == {i for i in beyond if i < "c097"}
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


def test_overridden_calls_are_said() -> None:
    (warning,) = (w for w in curated(40, frozenset(), n_overridden=1203).warnings if "asked for it" in w)
    assert warning.startswith("1,203 call(s) went to the LLM because their caller asked for it")
    assert not [w for w in curated(40, frozenset()).warnings if "asked for it" in w]
