"""Facts and sums of calls: by day, route, minute and tenant; verdicts."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.unit.dashboard.conftest import NOW_S, audit_of, served, shadowed, some_calls

from deputize.core.records import Outcome
from deputize.dashboard import call_index
from deputize.dashboard.call_index import CallIndex
from deputize.pipeline.readiness import call_spend
from deputize.scoring.costs import load_prices
from deputize.testing import call

DAY = int(NOW_S // 86400)


def index_of(*calls: object) -> CallIndex:
    prices = load_prices()
    index = CallIndex(lambda one: call_spend(one, prices, 2))
    for one in calls:
        index.add(one)  # type: ignore[arg-type]
    return index


def test_sums_by_route_day_and_tenant() -> None:
    index = index_of(*some_calls())
    month = index.sums(DAY)
    assert (month[""].n_calls, month[""].n_served, month["r1"].n_served) == (6, 3, 3)
    assert month[""].saved_usd > 0.7 and month[""].saved_wh > 0 and month[""].audit_usd > 0
    assert index.sums(DAY, "acme")[""].n_calls == 1
    assert not index.sums(DAY + 1)
    assert index.n_calls == 6 and len(index) == 9


def test_a_call_counts_once() -> None:
    index = index_of(served("a", NOW_S))
    assert not index.add(served("a", NOW_S))
    assert index.sums(DAY)[""].n_calls == 1


def test_calls_by_minute_without_audits() -> None:
    index = index_of(*some_calls(), call("bad", timestamp=NOW_S, status=500))
    minutes = index.per_minute(NOW_S, 4)
    assert [(m.n_specialist, m.n_llm, m.n_failed) for m in minutes] == [
        (1, 0, 0),
        (1, 3, 0),
        (1, 0, 0),
        (0, 1, 1),
    ]
    assert sum(m.n_specialist for m in index.per_minute(NOW_S, 4, "acme")) == 1


def test_old_minutes_are_forgotten_and_their_sums_are_not() -> None:
    index = index_of(*(served(f"c{i}", i * 60.0) for i in range(3000)))
    assert sum(m.n_specialist for m in index.per_minute(2999 * 60.0, 3000)) < 3000
    assert index.sums(0)[""].n_served == 3000


def test_facts_of_the_newest_are_kept_and_sums_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_index, "FACTS_KEPT", 3)
    index = index_of(
        *(served(f"c{i}", NOW_S + i) for i in range(5)), served("other", NOW_S + 2.5, tenant="acme")
    )
    assert [f.id for f in index.newest()] == ["c4", "c3", "other", "c2"]
    assert index.fact("c0") is None and len(index) == 6 and index.sums(DAY)[""].n_calls == 6


def test_the_newest_first_and_what_differed() -> None:
    index = index_of(*some_calls())
    assert [f.id for f in index.newest()][:2] == ["other", "l2"]
    assert [f.id for f in index.newest("acme")] == ["other"]
    assert [f.audit_of for f in index.differed()] == ["other", "s0"]
    assert index.fact("s0") is not None and index.fact("nothing") is None


def test_a_verdict_is_told_by_corrections_and_by_what_was_said() -> None:
    one, other = served("a", 1.0), audit_of("a", 2.0, agrees=False, reply="x")
    assert index_of(one, other).verdict("a-audit") == ""
    corrected = structs.replace(other, correction=one.response)
    assert index_of(one, corrected).verdict("a-audit") == "llm_wrong"
    assert (
        index_of(structs.replace(one, correction=other.response), other).verdict("a-audit")
        == "specialist_wrong"
    )
    both = structs.replace(other, correction=other.response, outcome=Outcome(reward=1.0, metric="both_fine"))
    assert index_of(one, both).verdict("a-audit") == "both_fine"
    index = index_of(one, other)
    index.note_verdict("a-audit", "llm_wrong")
    assert index.verdict("a-audit") == "llm_wrong"


def test_what_a_shadow_said_otherwise_is_judged_as_audits_are() -> None:
    one = shadowed("a", 1.0, reply="refund", shadow_reply="complaint")
    index = index_of(one)
    assert [(f.id, f.asked, f.is_served) for f in index.differed()] == [("a", "a", False)]
    assert [f.id for f in index.newest()] == ["a"] and index.verdict("a") == ""
    assert index_of(structs.replace(one, correction=one.shadow_response)).verdict("a") == "llm_wrong"
    same = structs.replace(one, correction=one.response)
    assert index_of(same).verdict("a") == "", "the correction alone does not tell who was wrong"
    for verdict in ("specialist_wrong", "both_fine"):
        said = structs.replace(same, outcome=Outcome(reward=1.0, metric=verdict))
        assert index_of(said).verdict("a") == verdict
