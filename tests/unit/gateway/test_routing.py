"""Which model answers a request."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import structs
from pydantic import ValidationError
from tests.unit.gateway.stubs import context, exchange, live_route

from deputize.core.config import RouteSettings
from deputize.core.errors import DeputizeError
from deputize.core.listed_tools import digests
from deputize.core.records import (
    Certificate,
    KeySpace,
    Prediction,
    Request,
    RequestLimits,
    Route,
    RouteFile,
)
from deputize.core.shadow_plan import ShadowPlan
from deputize.core.signature import signature
from deputize.core.template_key import TemplateKeys
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import RouteLookup
from deputize.gateway.routing import RoutingDecider, new_tool_call_id
from deputize.router.table import RouteMatch, RouteTable
from deputize.specialists.serving.base import StillLoading
from deputize.wire.registry import MESSAGES


class OneRoute:
    def __init__(self, **changed: Any) -> None:
        self.route = live_route(**changed)

    def match(self, request: Request, tenant: str) -> RouteMatch:
        return RouteMatch(self.route)


class Changed:
    def __init__(self, nearest: Route | None = None) -> None:
        self.nearest = nearest

    def match(self, request: Request, tenant: str) -> RouteMatch:
        return RouteMatch(None, "prompt_changed", nearest=self.nearest)


class Saying:
    """Specialists that give one prediction, or raise one error."""

    def __init__(self, said: Prediction | Exception) -> None:
        self.said = said

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def decider(
    table: RouteLookup | None, said: Prediction | Exception | None, *, audit_share: float = 0.0
) -> RoutingDecider:
    specialists = None if said is None else Saying(said)
    return RoutingDecider(
        lambda: table, specialists, Metrics(), timeout_s=1, clock_s=lambda: 0.0, audit_share=audit_share
    )


RAIN = Prediction(answer="rain", confidence=0.9)


async def test_a_changed_prompt_is_the_reason() -> None:
    outcome = await decider(Changed(), RAIN).route(exchange())
    assert (outcome.decision.served_by, outcome.decision.reason) == ("llm", "prompt_changed")
    asked = await decider(Changed(), RAIN).route(exchange(context=context(override="llm")))
    assert asked.decision.reason == "override"


@pytest.mark.parametrize(
    ("state", "said", "share"),
    [
        ("live", RAIN, 0.02),
        ("canary", RAIN, 1.0),
        ("live", Prediction(answer="rain", confidence=0.1), 0.02),
        ("live", TimeoutError(), 0.02),
        ("closed", RAIN, None),
        ("shadow", RAIN, None),
    ],
)
async def test_the_share_that_is_audited_is_noted_where_a_route_serves(
    state: str, said: Prediction | Exception, share: float | None
) -> None:
    table = OneRoute(state=state)
    routing = RoutingDecider(
        lambda: table, Saying(said), Metrics(), timeout_s=1, clock_s=lambda: 0.0, audit_share=0.02
    )
    assert (await routing.route(exchange())).decision.audit_share == share


async def test_the_table_is_asked_for_the_callers_tenant() -> None:
    class OfBeta(OneRoute):
        def match(self, request: Request, tenant: str) -> RouteMatch:
            return RouteMatch(self.route if tenant == "beta" else None)

    for tenant, served_by in (("beta", "slm"), ("alpha", "llm"), ("default", "llm")):
        outcome = await decider(OfBeta(), RAIN).route(exchange(context=context(tenant=tenant)))
        assert outcome.decision.served_by == served_by


async def test_the_gateways_clock_says_when_a_certificate_has_expired() -> None:
    table, now = OneRoute(), [0.0]
    assert table.route.certificate is not None
    dated = structs.replace(table.route.certificate, created_s=1e9, renew_after_days=90.0)
    table.route = structs.replace(table.route, certificate=dated)
    routing = RoutingDecider(
        lambda: table, Saying(RAIN), Metrics(), timeout_s=1, clock_s=lambda: 0.0, wall_clock_s=lambda: now[0]
    )
    for now[0], reason in ((1e9 + 90 * 86_400, "live"), (1e9 + 91 * 86_400, "certificate_expired")):
        assert (await routing.route(exchange())).decision.reason == reason


@pytest.mark.parametrize(
    ("certified", "answers", "reason"),
    [
        ("", "", "live"),
        ("local bf16 on cpu", "local bf16 on cpu", "live"),
        ("local bf16 on cpu", "local", "live"),
        ("local bf16 on cpu", "local fp32 on cpu", "other_engine"),
        ("local bf16 on cpu", "local bf16 on cpu, decoder 3, own layers", "other_engine"),
        ("local bf16 on cpu", "llamacpp f16", "other_engine"),
        ("local bf16 on cpu", "", "other_engine"),
    ],
)
async def test_a_certified_route_is_not_served_on_another_engine(
    certified: str, answers: str, reason: str
) -> None:
    table = OneRoute()
    assert table.route.certificate is not None
    measured = structs.replace(table.route.certificate, engine=certified)
    table.route = structs.replace(table.route, certificate=measured)
    specialists = Saying(structs.replace(RAIN, engine=answers))
    routing = RoutingDecider(lambda: table, specialists, Metrics(), timeout_s=1, clock_s=lambda: 0.0)
    assert (await routing.route(exchange())).decision.reason == reason
    specialists.said = (
        DeputizeError("it is not asked again") if reason == "other_engine" else specialists.said
    )
    assert (await routing.route(exchange())).decision.reason == reason
    chosen = await decider(table, structs.replace(RAIN, engine=answers)).route(
        exchange(context=context(override="slm"))
    )
    assert chosen.decision.reason == "override", "no certificate speaks of what a caller chose"


async def test_a_route_waits_as_long_as_its_settings_say() -> None:
    class Slow(Saying):
        async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
            waits.append(timeout_s)
            await asyncio.sleep(5)
            raise AssertionError("nobody waits so long")

    waits: list[float] = []
    table = OneRoute()
    life = RouteSettings(max_ms={"r": 20.0, "*": 3000.0})
    routing = RoutingDecider(
        lambda: table, Slow(RAIN), Metrics(), timeout_s=1, clock_s=lambda: 0.0, life=life
    )
    assert (await routing.route(exchange())).decision.reason == "timeout" and waits == [0.02]
    assert life.wait_s("other", "task") == 3.0 and RouteSettings(max_ms=50.0).wait_s("r") == 0.05
    assert RouteSettings(max_ms={"r": 20.0}).wait_s("other") == 10.0
    with pytest.raises(ValidationError, match="positive"):
        RouteSettings(max_ms={"r": 0.0})


async def test_a_specialist_serves() -> None:
    outcome = await decider(OneRoute(), RAIN).route(exchange())
    assert (outcome.decision.served_by, outcome.decision.reason) == ("slm", "live")
    assert outcome.answer is not None and outcome.answer.message["content"] == "rain"
    assert outcome.prediction is RAIN


@pytest.mark.parametrize(
    ("changed", "said", "more", "reason"),
    [
        (None, RAIN, {}, "no_route"),
        ({}, RAIN, {"context": context(override="llm")}, "override"),
        ({}, None, {}, "no_specialists"),
        ({}, TimeoutError(), {}, "timeout"),
        ({}, DeputizeError("dead"), {}, "worker_error"),
        ({}, StillLoading("not yet"), {}, "loading"),
        ({}, Prediction(answer="rain", confidence=0.1), {}, "below_threshold"),
        ({}, Prediction(answer="snow", confidence=0.9), {}, "contract"),
        ({"state": "closed"}, RAIN, {}, "closed"),
        ({}, RAIN, {"outgoing": {"previous_response_id": "x"}}, "pinned"),
    ],
)
async def test_the_llm_answers_and_the_decision_says_why(
    changed: dict[str, Any] | None, said: Any, more: dict[str, Any], reason: str
) -> None:
    table = None if changed is None else OneRoute(**changed)
    outcome = await decider(table, said).route(exchange(**more))
    assert (outcome.decision.served_by, outcome.decision.reason) == ("llm", reason)
    assert outcome.answer is None


LIMITS = RequestLimits(
    models=["gpt-4o"],
    sites=[("desk", "triage")],
    ranges={"temperature": (0.0, 0.0)},
    values={"stop": ["", "#1"]},
    max_tokens=[""],
    enough_tokens=4,
)
BODY = {"model": "gpt-4o", "temperature": 0, "messages": [{"role": "user", "content": "Is the parcel late?"}]}


@pytest.mark.parametrize(
    ("headers", "sent", "reason"),
    [
        ({}, {}, "live"),
        ({}, {"stream": True, "user": "u", "metadata": {"a": "b"}, "max_tokens": 4}, "live"),
        ({"audience": "human"}, {}, "audience"),
        ({"audience": "human", "override": "slm"}, {}, "audience"),
        ({"agent": "b"}, {}, "agent"),
        ({"agent": "desk", "site": "chat-with-people"}, {}, "site"),
        ({}, {"model": "o3-pro"}, "model"),
        ({}, {"max_tokens": 1}, "params:max_tokens"),
        ({}, {"stop": ["y"]}, "params:stop"),
        ({}, {"logit_bias": {"3763": -100}}, "params:logit_bias"),
        ({}, {"temperature": 2.0, "seed": 5}, "params:temperature"),
        ({}, {"web_search_options": {"search_context_size": "high"}}, "params:web_search_options"),
        ({}, {"n": 3}, "params:n"),
        ({}, {"logprobs": True}, "params:logprobs"),
        ({}, {"not_in_the_reference": 1}, "params:other"),
        ({"override": "slm"}, {"n": 3}, "params:n"),
    ],
)
async def test_a_request_outside_what_was_calibrated_goes_to_the_llm(
    headers: dict[str, Any], sent: dict[str, Any], reason: str
) -> None:
    table = OneRoute()
    certificate = table.route.certificate
    assert certificate is not None
    limited = msgspec.structs.replace(certificate, limits=LIMITS)
    table.route = msgspec.structs.replace(table.route, certificate=limited)
    fields = {**BODY, **sent}
    came = context(**{"agent": "desk", "site": "triage", **headers})
    outcome = await decider(table, RAIN).route(exchange(fields, context=came, model=fields["model"]))
    decision = outcome.decision
    assert decision.reason == reason
    assert (decision.served_by, decision.certificate_id) == (
        ("slm", "c") if reason == "live" else ("llm", "")
    )
    assert decision.specialist == table.route.specialist, "it is traffic of this specialist, served or not"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ([{"role": "user", "content": "Is the parcel late?"}], "live"),
        ([], "no_text"),
        ([{"role": "user", "content": None}], "no_text"),
        ([{"role": "user", "content": ""}], "no_text"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], "no_text"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}], "prompt_changed"),
    ],
)
async def test_a_request_without_text_reaches_no_specialist(asked: list[dict[str, Any]], reason: str) -> None:
    """It has the template key of every other letter."""
    system = {"role": "system", "content": "Sort the letters."}
    letter = Request(messages=[system, {"role": "user", "content": "Where is it?"}])
    space = KeySpace(signature=signature(letter), lines=["Sort the letters."])
    route = live_route(keys=[TemplateKeys([space]).key(letter)])
    table = RouteTable.build(RouteFile(run_id="1", keyspaces=[space], routes=[route]))
    outcome = await decider(table, RAIN).route(exchange({"model": "m", "messages": [system, *asked]}))
    assert outcome.decision.reason == reason


async def test_a_tool_choice_against_parallel_calls_is_seen_in_messages() -> None:
    fields = {**BODY, "max_tokens": 9, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    outcome = await decider(OneRoute(), RAIN).route(exchange({**fields, "temperature": 1}, MESSAGES))
    assert outcome.decision.reason == "params:parallel_tool_calls"


@pytest.mark.parametrize(
    ("override", "said", "share"),
    [
        ("auto", RAIN, 0.25),
        ("auto", DeputizeError("dead"), 0.25),
        ("llm", RAIN, None),
        ("slm", RAIN, None),
        ("slm", DeputizeError("dead"), None),
    ],
)
async def test_the_audited_share_is_noted_where_the_gateway_decides(
    override: str, said: Any, share: float | None
) -> None:
    """A later run draws calls by it; those whose model the caller chose are not drawn at all."""
    routing = decider(OneRoute(), said, audit_share=0.25)
    outcome = await routing.route(exchange(context=context(override=override)))
    assert (outcome.decision.route_id, outcome.decision.audit_share) == ("r", share)


@pytest.mark.parametrize(
    ("state", "override", "expected"),
    [
        ("live", "auto", ("prompt_changed", "r", "s", 0.25)),
        ("live", "llm", ("override", "", "", None)),
        ("live", "slm", ("prompt_changed", "r", "s", None)),
        ("closed", "auto", ("prompt_changed", "", "", None)),
    ],
)
async def test_a_changed_prompt_is_noted_with_the_route_that_it_left(
    state: str, override: str, expected: tuple[object, ...]
) -> None:
    routing = decider(Changed(live_route(state=state)), RAIN, audit_share=0.25)
    decision = (await routing.route(exchange(context=context(override=override)))).decision
    assert (decision.reason, decision.route_id, decision.specialist, decision.audit_share) == expected
    assert decision.served_by == "llm"


async def test_an_override_carries_no_certificate() -> None:
    unsure = Prediction(answer="rain", confidence=0.05)
    outcome = await decider(OneRoute(), unsure).route(exchange(context=context(override="slm")))
    decision = outcome.decision
    assert (decision.served_by, decision.reason, decision.certificate_id) == ("slm", "override", "")
    assert decision.specialist == "s"


async def test_an_answer_that_breaks_the_contract_carries_no_certificate() -> None:
    snow = Prediction(answer="snow", confidence=0.9)
    decision = (await decider(OneRoute(), snow).route(exchange())).decision
    assert (decision.served_by, decision.reason, decision.certificate_id) == ("llm", "contract", "")


async def test_a_shadow_is_asked_while_the_llm_answers() -> None:
    outcome = await decider(OneRoute(state="shadow"), RAIN).route(exchange())
    assert outcome.decision.reason == "shadow" and isinstance(outcome.shadow, asyncio.Task)
    assert await outcome.shadow is RAIN


class Challenged(OneRoute):
    """A live route with a challenger."""

    def __init__(self, **challenger: Any) -> None:
        super().__init__()
        self.challenger = live_route(**{"specialist": "new", "state": "shadow", **challenger})

    def match(self, request: Request, tenant: str = "default") -> RouteMatch:
        return RouteMatch(self.route, challenger=self.challenger)


async def test_a_challenger_in_shadow_is_asked_on_a_share_of_the_calls() -> None:
    table = Challenged()
    routing = RoutingDecider(
        lambda: table,
        Saying(RAIN),
        Metrics(),
        timeout_s=1,
        clock_s=lambda: 0.0,
        audit_share=0.02,
        life=RouteSettings(challenger_share=0.25),
    )
    outcomes = [await routing.route(exchange(context=context(id=f"dpz-{i}"))) for i in range(400)]
    asked = [o for o in outcomes if o.shadow is not None]
    assert 70 < len(asked) < 130
    assert {(o.decision.served_by, o.decision.specialist) for o in outcomes} == {("slm", "s")}
    assert {o.decision.audit_share for o in asked} == {1.0}, "its answer comes from an audit"
    assert {o.decision.audit_share for o in outcomes if o.shadow is None} == {0.02}
    assert all(o.compared is table.challenger for o in asked)
    override = await routing.route(exchange(context=context(id=asked[0].decision.route_id, override="llm")))
    assert override.shadow is None
    await asyncio.gather(*(o.shadow for o in asked if o.shadow is not None))


async def test_calls_that_a_challenger_is_not_asked_are_audited_like_those_that_it_is() -> None:
    """Else a later run would see a tenth of them, and all of the others that were drawn."""

    def limited(most: float) -> Certificate:
        certificate = live_route().certificate
        assert certificate is not None
        return structs.replace(certificate, limits=RequestLimits(ranges={"temperature": (0.0, most)}))

    table = Challenged(certificate=limited(0.0))
    table.route = live_route(certificate=limited(1.0))
    routing = RoutingDecider(
        lambda: table,
        Saying(RAIN),
        Metrics(),
        timeout_s=1,
        clock_s=lambda: 0.0,
        audit_share=0.02,
        life=RouteSettings(challenger_share=0.25),
    )
    shares, n_asked = dict[float, list[float | None]](), dict[float, int]()
    for temperature in (0.0, 1.0):
        fields = {**BODY, "temperature": temperature}
        outcomes = [await routing.route(exchange(fields, context=context(id=f"dpz-{i}"))) for i in range(200)]
        shares[temperature] = [o.decision.audit_share for o in outcomes]
        n_asked[temperature] = sum(o.shadow is not None for o in outcomes)
        await asyncio.gather(*(o.shadow for o in outcomes if o.shadow is not None))
    assert n_asked[0.0] > 30 and not n_asked[1.0]
    assert shares[0.0] == shares[1.0] and set(shares[0.0]) == {0.02, 1.0}


@pytest.mark.parametrize(
    ("state", "audit_share", "share"), [("canary", 0.02, 1.0), ("live", 0.02, 0.02), ("canary", 0.0, 0.0)]
)
async def test_a_canary_is_audited_more_closely(state: str, audit_share: float, share: float) -> None:
    outcome = await decider(OneRoute(state=state), RAIN, audit_share=audit_share).route(exchange())
    assert outcome.decision.audit_share == share


async def test_a_challenger_in_canary_serves_its_share_by_episode() -> None:
    table = Challenged(state="canary", share=0.25)
    served = {
        episode: {
            (
                await decider(table, RAIN).route(
                    exchange(context=context(id=f"{episode}-{k}", episode=episode))
                )
            ).decision.specialist
            for k in range(3)
        }
        for episode in map(str, range(120))
    }
    assert all(len(who) == 1 for who in served.values()), "one run of the agent stays with one version"
    assert 15 < sum(who == {"new"} for who in served.values()) < 50


async def test_a_challenger_alone_is_a_route_and_one_that_was_refused_is_none() -> None:
    alone = Challenged()
    alone.route = None  # type: ignore[assignment]
    assert (await decider(alone, RAIN).route(exchange())).decision.reason == "shadow"
    refused = await decider(Challenged(state="rolled_back"), RAIN).route(exchange())
    assert (refused.decision.served_by, refused.decision.specialist, refused.shadow) == ("slm", "s", None)


async def test_a_shadow_is_asked_within_the_limits_a_person_has_set() -> None:
    table, now = OneRoute(state="shadow", shadow=ShadowPlan(share=0.5, until_s=100.0)), [50.0]
    routing = RoutingDecider(
        lambda: table, Saying(RAIN), Metrics(), timeout_s=1, clock_s=lambda: 0.0, wall_clock_s=lambda: now[0]
    )
    outcomes = [await routing.route(exchange(context=context(id=str(i)))) for i in range(200)]
    assert 70 < sum(o.shadow is not None for o in outcomes) < 130
    now[0] = 101.0
    over = [await routing.route(exchange(context=context(id=str(i)))) for i in range(20)]
    assert not any(o.shadow for o in over) and {o.decision.reason for o in over} == {"shadow"}


def test_ids_of_tool_calls_are_fresh() -> None:
    assert new_tool_call_id() != new_tool_call_id() and new_tool_call_id().startswith("call_")


async def test_a_request_that_lists_what_was_not_in_training_goes_to_the_llm() -> None:
    known: dict[str, Any] = {"type": "function", "function": {"name": "find"}}
    other: dict[str, Any] = {"type": "function", "function": {"name": "book"}}
    table = OneRoute()
    certificate = table.route.certificate
    assert certificate is not None
    listed = sorted(digests(Request(messages=[], tools=[known])))

    async def reason(limits: RequestLimits, tools: list[dict[str, Any]], **came: Any) -> str:
        limited = structs.replace(certificate, limits=limits)
        table.route = structs.replace(table.route, certificate=limited)
        fields = {**BODY, "tools": tools}
        given = context(**{"agent": "desk", "site": "triage", **came})
        outcome = await decider(table, RAIN).route(exchange(fields, context=given, model=fields["model"]))
        return outcome.decision.reason

    seen_only = structs.replace(LIMITS, listed=listed)
    assert await reason(seen_only, [known]) == "live"
    assert await reason(seen_only, [known, other]) == "listed"
    changed = {**known, "function": {**known["function"], "description": "Now faster."}}
    assert await reason(seen_only, [changed]) == "listed"
    assert await reason(LIMITS, [other]) == "live", "a certificate about unseen tools too"
    assert await reason(seen_only, [other], override="slm") == "override"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (OneRoute(), "live"),
        (OneRoute(state="closed"), "closed"),
        (OneRoute(state="rolled_back"), "rolled_back"),
        (OneRoute(state="shadow"), "shadow"),
        (OneRoute(threshold=0.95), "below_threshold"),
        (OneRoute(specialist="its successor"), "no_route"),
        (OneRoute(certificate=None), "no_route"),
        (None, "no_route"),
    ],
)
async def test_a_route_that_was_closed_while_its_specialist_was_asked_serves_nothing(
    now: OneRoute | None, reason: str
) -> None:
    in_force: list[OneRoute | None] = [OneRoute()]

    class Slow(Saying):
        async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
            in_force[0] = now
            return RAIN

    routing = RoutingDecider(lambda: in_force[0], Slow(RAIN), Metrics(), timeout_s=1, clock_s=lambda: 0.0)
    outcome = await routing.route(exchange())
    assert outcome.decision.reason == reason
    assert (outcome.answer is None) == (outcome.decision.served_by == "llm") == (reason != "live")
