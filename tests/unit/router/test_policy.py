"""Which model answers: whatever is not plainly allowed goes to the LLM."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.contracts import DEFER
from deputize.core.records import Certificate, Contract, Decision, Prediction, Route
from deputize.router.policy import decide, in_canary, plan

CERTIFICATE = Certificate(
    id="c1",
    kind="not_worse_than_llm",
    epsilon=0.02,
    delta=0.05,
    n_calibration=500,
    threshold=0.8,
    share_served=0.7,
    p_value=0.01,
    claim="",
)


def route(state: Any = "live", **more: Any) -> Route:
    fields = {
        "id": "r1",
        "task_id": "t1",
        "task_name": "t",
        "keys": ["k"],
        "contract": Contract(kind="tool_call", may_defer=True),
        "specialist": "runs/x",
        "threshold": 0.8,
        "state": state,
        "certificate": CERTIFICATE,
        **more,
    }
    return Route(**fields)


def decided(
    given_route: Route | None,
    prediction: Prediction | None,
    *,
    override: Any = "auto",
    canary_key: str = "",
    failure: Any = "worker_error",
) -> Decision:
    """The decision about a request, from its plan."""
    return decide(plan(given_route, override=override, canary_key=canary_key), prediction, failure=failure)


def answer(confidence: float = 0.9, value: Any = "yes") -> Prediction:
    return Prediction(answer=value, confidence=confidence, latency_ms=3.0)


class TestDecide:
    def test_a_confident_answer_of_a_live_route_is_served(self) -> None:
        decision = decided(route(), answer(0.8))
        assert (decision.served_by, decision.reason, decision.confidence) == ("slm", "live", 0.8)
        assert (decision.route_id, decision.certificate_id, decision.specialist_ms) == ("r1", "c1", 3.0)

    @pytest.mark.parametrize(
        ("given_route", "prediction", "more", "reason"),
        [
            (None, None, {}, "no_route"),
            (route("closed"), answer(), {}, "closed"),
            (route("rolled_back"), answer(), {}, "rolled_back"),
            (route(certificate=None), answer(), {}, "closed"),
            (route(specialist=""), answer(), {}, "closed"),
            (route("shadow"), answer(), {}, "shadow"),
            (route("canary", share=0.0), answer(), {"canary_key": "k"}, "outside_canary"),
            (route(), answer(0.79), {}, "below_threshold"),
            (route(), answer(float("nan")), {}, "below_threshold"),
            (
                route(),
                Prediction(answer="a", confidence=0.0, out_of_distribution=True),
                {},
                "out_of_distribution",
            ),
            (route(), answer(1.0, None), {}, "contract"),
            (route(), answer(1.0, DEFER), {}, "defer"),
            (route(), answer(), {"override": "llm"}, "override"),
            (route(), None, {"failure": "timeout"}, "timeout"),
            (route(), None, {}, "worker_error"),
            (route("closed"), answer(), {"override": "slm"}, "closed"),
            (route(certificate=None), answer(), {"override": "slm"}, "closed"),
            (route(), answer(1.0, None), {"override": "slm"}, "contract"),
        ],
    )
    def test_everything_else_goes_to_the_llm_and_says_why(
        self, given_route: Route | None, prediction: Prediction | None, more: dict[str, Any], reason: str
    ) -> None:
        decision = decided(given_route, prediction, **more)
        assert (decision.served_by, decision.reason, decision.certificate_id) == ("llm", reason, "")

    def test_an_override_lifts_threshold_shadow_and_canary(self) -> None:
        for state in ("live", "shadow", "canary"):
            decision = decided(route(state, share=0.0), answer(0.1), override="slm")
            assert (decision.served_by, decision.reason) == ("slm", "override")
            assert (decision.certificate_id, decision.specialist) == ("", "runs/x"), "no claim covers it"

    def test_shadow_asks_but_does_not_serve(self) -> None:
        assert plan(route("shadow")).ask_specialist and not plan(route("shadow")).may_serve
        assert not plan(route("closed")).ask_specialist
        assert not plan(route(), override="llm").ask_specialist

    @given(
        st.sampled_from(["closed", "shadow", "canary", "live", "rolled_back"]),
        st.floats(),
        st.floats(0, 1),
        st.text(),
        st.sampled_from(["llm", "auto"]),
    )
    def test_nothing_is_served_below_the_threshold_or_outside_live_and_canary(
        self, state: Any, confidence: float, share: float, key: str, override: str
    ) -> None:
        decision = decided(route(state, share=share), answer(confidence), override=override, canary_key=key)
        if decision.served_by == "slm":
            assert override == "auto" and confidence >= 0.8 and state in ("live", "canary")


class TestAge:
    @pytest.mark.parametrize("override", ["auto", "slm"])
    @pytest.mark.parametrize("state", ["live", "canary", "shadow"])
    def test_an_expired_certificate_sends_every_call_to_the_llm(self, state: str, override: Any) -> None:
        dated = msgspec.structs.replace(CERTIFICATE, created_s=1e9, renew_after_days=90.0)
        given, end_s = route(state, certificate=dated), 1e9 + 90 * 86_400
        assert plan(given, override=override, canary_key="k", now_s=end_s).ask_specialist
        late = plan(given, override=override, canary_key="k", now_s=end_s + 1)
        assert (late.ask_specialist, late.may_serve, late.reason) == (False, False, "certificate_expired")
        assert decide(late, answer(1.0)).served_by == "llm"


class TestCanary:
    @given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
    def test_a_key_stays_in_as_the_share_grows(self, key: str, a: float, b: float) -> None:
        low, high = sorted((a, b))
        assert in_canary("r", key, high) or not in_canary("r", key, low)

    def test_the_share_is_kept_and_routes_draw_apart(self) -> None:
        chosen = {r: {i for i in range(4000) if in_canary(r, f"s{i}", 0.25)} for r in ("a", "b")}
        assert 850 < len(chosen["a"]) < 1150
        assert 150 < len(chosen["a"] & chosen["b"]) < 350

    def test_without_a_key_there_is_no_canary(self) -> None:
        assert not in_canary("r", "", 0.99)
        assert in_canary("r", "", 1.0)
