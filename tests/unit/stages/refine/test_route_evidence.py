"""Evidence of a route's audits: which calls count, what may be lost, and the promises that follow."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from deputize.core.contracts import DEFER
from deputize.core.records import Certificate, Contract, Decision, Prediction, Route
from deputize.core.text_measures import TextMeasure
from deputize.gateway.settlement import agrees_with_llm, llm_agrees_with_itself
from deputize.scoring import monitor
from deputize.stages.refine import route_evidence as r

CERTIFICATE = Certificate(
    id="c1",
    kind="not_worse_than_llm",
    epsilon=0.05,
    delta=0.05,
    n_calibration=400,
    threshold=0.5,
    share_served=0.9,
    p_value=0.01,
    claim="as said",
)
REPEATS = msgspec.structs.replace(CERTIFICATE, kind="not_worse_than_repeats")
LABELS = Contract(kind="label", labels=["refund", "cancel"])
ROUTE = Route(
    id="r1",
    task_id="t1",
    task_name="intents",
    keys=[],
    contract=LABELS,
    specialist="runs/x",
    threshold=0.5,
    certificate=CERTIFICATE,
    state="live",
)
NONE = r.RouteEvidence(route_id="r1", specialist="runs/x")


def certificate(**changed: Any) -> Certificate:
    return msgspec.structs.replace(CERTIFICATE, **changed)


def route(**changed: Any) -> Route:
    return msgspec.structs.replace(ROUTE, **changed)


def decision(agrees: bool | None, **fields: Any) -> Decision:
    given = {"served_by": "llm", "route_id": "r1", "specialist": "runs/x", "confidence": 0.9, **fields}
    return Decision(shadow_agrees=agrees, **given)


def after(results: str, of: Certificate = CERTIFICATE, start: r.RouteEvidence = NONE) -> r.RouteEvidence:
    for one in results:
        start = r.with_audit(start, one, of)  # type: ignore[arg-type]
    return start


def test_the_allowed_loss_is_that_of_served_calls() -> None:
    assert monitor.allowed_loss(CERTIFICATE) == pytest.approx(0.05 / 0.9)
    assert monitor.allowed_loss(certificate(n_served=40)) == pytest.approx(0.5)
    assert monitor.allowed_loss(certificate(share_served=0.1)) == pytest.approx(0.5)
    assert monitor.allowed_loss(certificate(share_served=0.1, served_limit=0.15)) == 0.15
    assert monitor.allowed_loss(certificate(share_served=0.02)) == 1.0


@pytest.mark.parametrize(
    ("one", "result"),
    [
        (decision(True), "."),
        (decision(False), "s"),
        (decision(None), None),
        (decision(False, specialist="runs/old"), None),
        (decision(False, route_id="r2"), None),
        (decision(False, confidence=0.4), None),
        (decision(False, confidence=None), None),
        (decision(False, served_by="slm", confidence=0.4), "s"),
        (decision(True, deferred=True), None),
    ],
)
def test_which_calls_are_audits_of_a_route(one: Decision, result: str | None) -> None:
    assert r.audit_result(one, ROUTE) == result


def test_a_claim_against_repeats_needs_two_answers() -> None:
    repeats = route(certificate=REPEATS)
    found = [
        r.audit_result(decision(a, repeat_agrees=b), repeats) for a in (True, False) for b in (True, False)
    ]
    assert found == [".", "l", "s", "b"]
    assert r.audit_result(decision(False), repeats) is None
    state = after(".lsb", REPEATS).state
    assert state is not None and state.signed and (state.n_audits, state.sum_losses) == (4, 0.0)


def test_another_allowed_rate_judges_the_kept_audits_again() -> None:
    results = ".." + "...s" * 20
    old = after(results)
    looser = certificate(id="c2", epsilon=0.3)
    again, whole = after(".", looser, old), after(results + ".", looser)
    assert again.state is not None and whole.state is not None and again.state.results == whole.state.results
    assert again.state.log_harm == whole.state.log_harm
    only_one = after(".", looser).state
    assert only_one is not None and again.state.log_good == only_one.log_good, "a promotion begins again"
    assert old.alarm and not again.alarm, "what was too much for one certificate may be within the next"
    same = after(".", certificate(id="c2"), old)
    assert same == after(results + ".")
    signed = after(".", REPEATS, old)
    assert signed.state is not None and signed.state.n_audits == 1, (
        "one answer of the LLM says nothing of two"
    )


def test_evidence_of_another_comparison_says_nothing() -> None:
    measured = route(contract=Contract(kind="text", measure=TextMeasure(name="words", level=0.8)))
    assert r.evidence_for(route(), NONE) is NONE and r.evidence_for(route(), None) is None
    assert r.evidence_for(measured, NONE) is None
    begun = r.new_evidence(measured)
    assert r.evidence_for(measured, begun) is begun and r.evidence_for(route(), begun) is None


def test_kept_audits_are_judged_again_by_episodes() -> None:
    """Twelve equal calls that differ are one piece of evidence, now and by any other rate."""
    one = NONE
    for k in range(12):
        one = r.with_audit(one, "s", CERTIFICATE, episode="e", now_s=float(k))
    again = r.with_audit(one, ".", certificate(epsilon=0.06), episode="f")
    assert not one.alarm and not again.alarm and after("s" * 12).alarm
    assert again.state is not None and again.state.results == "s" * 12 + "|"
    assert again.state.n_audits == 13 and again.state.sum_losses == 12


def test_the_evidence_file_keeps_every_number() -> None:
    for evidence in (NONE, after("..s."), after(".lsb", REPEATS)):
        assert msgspec.json.decode(msgspec.json.encode(evidence), type=r.RouteEvidence) == evidence


def test_missed_audits_raise_an_alarm_and_a_good_past_does_not_hide_them() -> None:
    evidence = NONE
    for i in range(2_000):
        evidence = r.with_due(evidence, missed=i % 30 == 0)
        assert not evidence.missed_too_many
    n_more = 0
    while not evidence.missed_too_many:
        evidence, n_more = r.with_due(evidence, missed=True), n_more + 1
    assert n_more < 20
    few = NONE
    for _ in range(39):
        few = r.with_due(few, missed=True)
    assert not few.missed_too_many and r.with_due(few, missed=True).missed_too_many


def test_a_route_is_never_silently_unwatched() -> None:
    """Half the served answers may differ: still watched. All of them: said."""
    tenth = route(certificate=certificate(share_served=0.1))
    assert r.unwatched(tenth, None) == "" and after("s" * 500, certificate(share_served=0.1)).alarm
    small = route(certificate=certificate(share_served=0.05))
    assert "is not watched: its certificate covers so few calls" in r.unwatched(small, None)
    nothing = after("s" * 10, certificate(share_served=0.05))
    assert nothing.state is not None and nothing.state.n_audits == 10 and not nothing.alarm
    assert "audit_share is 0" in r.unwatched(ROUTE, None, audit_share=0.0)
    bad = msgspec.structs.replace(NONE, n_due=50, n_missed=3)
    assert "3 of its last 50 due audits" in r.unwatched(ROUTE, bad, audit_share=0.02)
    assert r.unwatched(ROUTE, NONE, audit_share=0.02) == ""
    assert r.unwatched(route(state="closed"), bad) == ""


def test_the_llm_that_changes_its_labels_is_seen_within_100_audits() -> None:
    """On half of the calls the LLM says a label that is not in the contract, and the specialist an old one."""
    said = Prediction(answer="refund", confidence=0.9)
    for kind in (CERTIFICATE, REPEATS):
        at = []
        for seed in range(40):
            rng, evidence = np.random.default_rng(seed), NONE
            n_audits = 0
            while not evidence.alarm and n_audits < 300:
                n_audits += 1
                message = {"role": "assistant", "content": "chargeback" if rng.random() < 0.5 else "refund"}
                made = decision(
                    agrees_with_llm(said, message, ROUTE),
                    repeat_agrees=llm_agrees_with_itself(message, message, ROUTE),
                )
                result = r.audit_result(made, route(certificate=kind))
                assert result is not None
                evidence = r.with_audit(evidence, result, kind)
            at.append(n_audits)
        assert np.median(at) <= 100


def test_sound_routes_certified_against_repeats_stay() -> None:
    """The LLM differs from itself on a fifth of the calls, and so does the specialist: none of 80 routes goes back."""
    n_rolled_back = 0
    for seed in range(80):
        rng, evidence = np.random.default_rng(seed), NONE
        for agrees, repeat in rng.random((400, 2)) >= 0.2:
            result = r.audit_result(
                decision(bool(agrees), repeat_agrees=bool(repeat)), route(certificate=REPEATS)
            )
            assert result is not None
            evidence = r.with_audit(evidence, result, REPEATS)
        n_rolled_back += evidence.alarm
    assert n_rolled_back / 80 <= monitor.false_rollback_bound(400)


def test_deferred_calls_do_not_dilute_the_loss() -> None:
    """At a mixed site 60 % of the calls are deferred; of the tool calls 30 % differ, 5.6 % are allowed."""
    mixed = route(contract=Contract(kind="tool_call", tools=["find"], may_defer=True), state="shadow")
    rng, evidence = np.random.default_rng(3), NONE
    speaks = {"role": "assistant", "content": "May I have your number?"}
    assert agrees_with_llm(Prediction(answer=DEFER, confidence=0.95), speaks, mixed)
    for _ in range(600):
        deferred = bool(rng.random() < 0.6)
        result = r.audit_result(decision(deferred or bool(rng.random() >= 0.3), deferred=deferred), mixed)
        if result is not None:
            evidence = r.with_audit(evidence, result, CERTIFICATE)
    assert evidence.alarm and evidence.state is not None and 200 < evidence.state.n_audits < 280


def _alarms(results_RT: np.ndarray[Any, Any], of: Certificate) -> np.ndarray[Any, Any]:
    """When each of R routes of T audits is rolled back, T where it is not: `with_audit` on whole columns at once."""
    allowed, n_audits = monitor.allowed_loss(of), results_RT.shape[1]
    stakes = np.array(monitor._stakes_on_worse(allowed, False, 1))
    capital, at = np.zeros((len(results_RT), len(stakes))), np.full(len(results_RT), n_audits)
    for t in range(n_audits):
        capital = (1 + capital) * (1 + stakes * (results_RT[:, t : t + 1] - allowed))
        at[(capital.mean(axis=1) >= monitor.AUDITS_PER_FALSE_ROLLBACK) & (at == n_audits)] = t
    return at


def test_1000_routes_of_50000_calls() -> None:
    """At an audit share of .02: false rollbacks as promised, a jump from 5 to 15 % seen within 100 audits."""
    exact = certificate(share_served=1.0)
    rng = np.random.default_rng(0)
    audited_R = rng.binomial(50_000, 0.02, 1_000)
    kept = rng.random((1_000, audited_R.max())) < 0.05
    kept &= np.arange(audited_R.max()) < audited_R[:, None]
    at = _alarms(kept.astype(float), exact)
    for one in (0, int(np.argmin(at))):  # the columns are the process
        evidence = after("".join("s" if x else "." for x in kept[one, : at[one] + 1]), exact)
        assert evidence.alarm == (at[one] < kept.shape[1])
    promised = monitor.false_rollback_bound(audited_R.max())
    assert np.mean(at < kept.shape[1]) <= promised
    n_before = 400
    jump = np.hstack([rng.random((1_000, n_before)) < 0.05, rng.random((1_000, 600)) < 0.15])
    found = _alarms(jump.astype(float), exact)
    assert np.median(found[found >= n_before] - n_before + 1) <= 100


def test_a_call_that_an_earlier_certificate_served_counts_no_more() -> None:
    newer = certificate(id="c2", created_s=9.0, epsilon=0.06)
    now = after("..", newer)
    assert r.with_audit(now, "s", certificate(created_s=5.0)) is now
    assert r.with_audit(now, "s", newer).n_specialist_differed == 1
