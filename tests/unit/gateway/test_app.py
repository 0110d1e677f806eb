"""Which path is answered by what."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import partial
from threading import current_thread
from typing import Any

import pytest
from tests.unit.gateway.stubs import (
    OURS,
    CannedResponse,
    CannedTransport,
    Settled,
    pool,
    telemetry,
    upstream,
)

from deputize.core.errors import StoreError
from deputize.core.records import Call, Usage
from deputize.gateway import app
from deputize.gateway.app import Gateway
from deputize.gateway.auth import NOTHING_RESERVED, Caller, NoAuthentication, Reservation
from deputize.gateway.exchange import Exchange
from deputize.gateway.settings import GatewaySettings
from deputize.http.handler import HttpReply
from deputize.store.access.api_keys import ApiKey
from deputize.store.access.roles import Right


class StubLive:
    """Gives one reply, or raises one error."""

    def __init__(self, answer: Any) -> None:
        self.answer_with, self.seen = answer, []  # type: ignore[var-annotated]

    async def answer(self, exchange: Exchange) -> HttpReply:
        self.seen.append(exchange)
        if isinstance(self.answer_with, Exception):
            raise self.answer_with
        reply: HttpReply = self.answer_with
        return reply


def gateway(answer: Any = None, **settings: Any) -> tuple[Gateway, StubLive, Settled]:
    parts, live = Settled(), StubLive(answer or HttpReply(200, [], b"{}"))
    made = Gateway(
        settings=GatewaySettings(**settings),
        live=live,  # type: ignore[arg-type]
        upstreams=pool(upstream(CannedTransport(CannedResponse(200)))),
        recorder=parts.recorder,
        metrics=parts.metrics,
        telemetry=telemetry(parts.metrics),
        pseudonym=lambda raw, tenant: raw,
    )
    return made, live, parts


CALL = json.dumps({"model": "m", "messages": [{"role": "user", "content": "q"}]}).encode()


async def test_a_model_call_reaches_the_live_path() -> None:
    made, live, parts = gateway()
    reply = await made("POST", "/v1/chat/completions?a=1", {**OURS, "x-deputize-agent": "desk"}, CALL)
    (asked,) = live.seen
    assert reply.status == 200 and asked.query == "?a=1" and asked.context.agent == "desk"
    counted = parts.metrics.value("deputize_requests_total", path="/v1/chat/completions", status="200")
    assert counted == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("HEAD", "/", 200),
        ("HEAD", "/v1/models", 200),
        ("POST", "/chat/completions", 404),
        ("GET", "/metrics", 200),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/v1/deputize/feedback", 405),
        ("GET", "/nothing", 404),
        ("GET", "/v1/../x", 400),
        ("POST", "/v1/chat/completions", 400),
    ],
)
async def test_other_paths(method: str, path: str, status: int) -> None:
    made, live, _ = gateway()
    assert (await made(method, path, OURS, b"")).status == status
    assert not live.seen


async def test_errors_become_replies_and_bugs_stay_inside() -> None:
    made, _, _ = gateway(StoreError("The store is full."))
    reply = await made("POST", "/v1/chat/completions", OURS, CALL)
    assert reply.status == 503 and isinstance(reply.body, bytes) and b"full" in reply.body
    made, _, _ = gateway(ZeroDivisionError("a secret"))
    reply = await made("POST", "/v1/chat/completions", OURS, CALL)
    assert reply.status == 500 and isinstance(reply.body, bytes) and b"secret" not in reply.body


async def test_refusals_are_counted_by_tenant_where_the_caller_is_known() -> None:
    made, _, parts = gateway(StoreError("The store is full."), max_concurrency=1)
    assert (await made("POST", "/v1/chat/completions", OURS, CALL)).status == 503
    assert (await made("GET", "/v1/../x", OURS, b"")).status == 400
    count = partial(parts.metrics.value, "deputize_refused_total")
    assert (count(tenant="default"), count(tenant="")) == (1, 1)
    made.refusal(431, "Too large.")
    assert (count(tenant="default"), count(tenant=""), count()) == (1, 2, 3)


async def test_a_stream_is_in_flight_until_it_is_closed() -> None:
    async def pieces() -> Any:
        yield b"x"

    made, live, parts = gateway(HttpReply(200, [], pieces()), max_concurrency=1)
    reply = await made("POST", "/v1/chat/completions", OURS, CALL)
    assert not isinstance(reply.body, bytes)
    assert (await made("POST", "/v1/chat/completions", OURS, CALL)).status == 429
    assert parts.metrics.value("deputize_refused_total", reason="over_limit", tenant="default") == 1
    await reply.body.aclose()
    live.answer_with = HttpReply(200, [], b"{}")
    assert (await made("POST", "/v1/chat/completions", OURS, CALL)).status == 200


async def test_feedback_is_handed_to_the_recorder() -> None:
    made, _, parts = gateway()
    body = b'{"call_id":"c","metric":"success","value":1}'
    assert (await made("POST", "/v1/deputize/feedback", OURS, body)).status == 404
    parts.recorder.calls.append(Call(id="c", messages=[], response={}))
    assert (await made("POST", "/v1/deputize/feedback", OURS, body)).status == 200
    assert parts.recorder.feedback["call_id"] == "c" and parts.recorder.feedback["tenant"] == "default"
    about = b'{"episode":"e","metric":"success","value":1}'
    parts.recorder.calls.append(Call(id="d", messages=[], response={}, episode="e", tenant="other"))
    assert (await made("POST", "/v1/deputize/feedback", OURS, about)).status == 404
    assert parts.recorder.feedback["call_id"] == "c", "nothing is kept of it"
    parts.recorder.calls.append(Call(id="f", messages=[], response={}, episode="e"))
    assert (await made("POST", "/v1/deputize/feedback", OURS, about)).status == 200


def test_refusals_of_the_http_server() -> None:
    made, _, _ = gateway(max_body_mb=1)
    assert made.refusal(413, "").status == 413 and b"1 MB" in bytes(made.refusal(413, "").body)  # type: ignore[arg-type]
    assert made.refusal(431, "Too large.").status == 431


async def test_a_draining_gateway_says_so() -> None:
    made, _, _ = gateway()
    made.ready = False
    assert (await made("GET", "/healthz", OURS, b"")).status == 503


class KeyedCallers(NoAuthentication):
    """Everybody names a key."""

    def authenticate(self, headers: Mapping[str, str], right: Right) -> Caller:
        return Caller(key=ApiKey(id=headers["x-key"], digest=b"", role="ingest"))


async def test_one_key_leaves_room_for_another_and_health_is_always_answered() -> None:
    async def pieces() -> Any:
        yield b"x"

    made, _, _ = gateway(HttpReply(200, [], pieces()), max_concurrency=10)
    made._authenticator = KeyedCallers()
    statuses = [(await made("POST", "/v1/chat/completions", {"x-key": "a"}, CALL)).status for _ in range(12)]
    assert statuses.count(200) == 8 and set(statuses[8:]) == {429}
    assert (await made("POST", "/v1/chat/completions", {"x-key": "b"}, CALL)).status == 200
    assert (await made("GET", "/healthz", {}, b"")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("POST", "/v1/deputize/feedback"), ("GET", "/metrics")],
)
@pytest.mark.parametrize(
    "headers", [{**OURS, "host": "rebind.evil.example"}, {**OURS, "origin": "https://evil.example"}]
)
async def test_a_web_page_is_refused_without_a_body(method: str, path: str, headers: dict[str, str]) -> None:
    made, live, _ = gateway()
    refused = made.admit(method, path, headers)
    assert isinstance(refused, HttpReply) and refused.status == 403 and not live.seen
    assert not any(name.startswith("access-control") for name, _ in refused.headers)


async def test_a_listed_origin_gets_its_headers() -> None:
    made, _, _ = gateway(allowed_origins=["https://app.example"])
    page = {**OURS, "origin": "https://app.example"}
    reply = await made("POST", "/v1/chat/completions", page, CALL)
    assert reply.status == 200 and ("access-control-allow-origin", "https://app.example") in reply.headers
    asks = {**page, "access-control-request-method": "POST"}
    assert (await made("OPTIONS", "/v1/chat/completions", asks, b"")).status == 204
    other = {**asks, "origin": "https://evil.example"}
    assert (await made("OPTIONS", "/v1/chat/completions", other, b"")).status == 405


async def test_decoded_values_count_as_bytes() -> None:
    """Two bodies of many values do not fit a budget that one of them does."""

    async def pieces() -> Any:
        yield b"x"

    made, live, _ = gateway(HttpReply(200, [], pieces()), max_bodies_mb=2)
    body = CALL[:-1] + b',"m":[' + b"[]," * 15_000 + b"1]}"
    reply = await made("POST", "/v1/chat/completions", OURS, body)
    assert reply.status == 200 and not isinstance(reply.body, bytes)
    assert (await made("POST", "/v1/chat/completions", OURS, body)).status == 429
    await reply.body.aclose()
    live.answer_with = HttpReply(200, [], b"{}")
    assert (await made("POST", "/v1/chat/completions", OURS, body)).status == 200
    assert made.bodies.used == 0


async def test_a_large_body_is_decoded_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def decode(body: bytes) -> dict[str, Any]:
        threads.append(current_thread().name)
        return {}

    monkeypatch.setattr(app, "decode_object", decode)
    made, _, _ = gateway()
    for n_bytes in (10, 2_000_000):
        await made("POST", "/v1/embeddings", OURS, b"x" * n_bytes)
    assert threads[0] == "MainThread" != threads[1]


async def test_a_specialist_is_forced_only_with_the_right_to_do_so() -> None:
    made, live, _ = gateway()
    asked = {**OURS, "x-deputize-route": "slm"}
    assert (await made("POST", "/v1/chat/completions", asked, CALL)).status == 200, "no keys, no limits"
    made._authenticator = KeyedCallers()
    refused = await made("POST", "/v1/chat/completions", {**asked, "x-key": "a"}, CALL)
    assert refused.status == 403 and b"override routes" in bytes(refused.body)  # type: ignore[arg-type]
    for route in ("llm", "auto"):
        allowed = {**OURS, "x-deputize-route": route, "x-key": "a"}
        assert (await made("POST", "/v1/chat/completions", allowed, CALL)).status == 200
    assert len(live.seen) == 3


class NotingCallers(KeyedCallers):
    """Remembers how many tokens were set aside."""

    tokens = 0

    async def admit_call(self, caller: Caller, model: str, usage: Usage) -> Reservation:
        self.tokens = usage.completion_tokens
        return NOTHING_RESERVED


async def test_all_answers_that_a_call_asks_for_are_set_aside() -> None:
    made, _, _ = gateway()
    made._authenticator = callers = NotingCallers()
    body = json.dumps({**json.loads(CALL), "max_tokens": 50, "n": 8}).encode()
    assert (await made("POST", "/v1/chat/completions", {**OURS, "x-key": "a"}, body)).status == 200
    assert callers.tokens == 400


async def test_the_path_of_an_azure_client_names_the_model() -> None:
    made, live, _ = gateway()
    body = json.dumps({"messages": [{"role": "user", "content": "q"}]}).encode()
    path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert (await made("POST", path, OURS, body)).status == 200
    (asked,) = live.seen
    assert asked.model == "gpt-4o" and json.loads(asked.body)["model"] == "gpt-4o"
    assert asked.query == "?api-version=2024-10-21"


async def test_a_packed_request_is_unpacked_before_it_is_read_and_sent_on() -> None:
    made, live, _ = gateway()
    packed = {**OURS, "content-encoding": "gzip"}
    assert (await made("POST", "/v1/chat/completions", packed, gzip.compress(CALL))).status == 200
    assert live.seen[0].body == CALL and not made.bodies.used
    assert (
        await made("POST", "/v1/chat/completions", {**OURS, "content-encoding": "br"}, CALL)
    ).status == 415


async def test_readiness_says_why_not() -> None:
    made, _, parts = gateway()
    made.ready, parts.recorder.full = False, True
    reply = await made("GET", "/readyz", OURS, b"")
    assert isinstance(reply.body, bytes)
    draining, full = json.loads(reply.body)["reasons"]
    assert reply.status == 503 and draining == "draining" and "full" in full


async def test_a_form_needs_a_header_that_no_page_can_send() -> None:
    made, _, _ = gateway()
    form = {"host": "127.0.0.1", "content-type": "multipart/form-data; boundary=x"}
    assert (await made("POST", "/v1/files", form, b"--x--")).status == 415
    assert (await made("POST", "/v1/files", {**form, "authorization": "Bearer sk"}, b"--x--")).status == 200
