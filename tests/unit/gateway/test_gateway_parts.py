"""The small parts of the gateway, one by one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.auth import key_text
from deputize.gateway.context import Context, read_context
from deputize.gateway.conversations import Conversation, SealedConversations
from deputize.gateway.forwarding import forward_answer_headers, forward_request_headers
from deputize.gateway.metrics import Metrics
from deputize.http.headers import Headers, header_safe
from deputize.store.keys.keyring import KeyRing
from deputize.store.sessions import ConversationStore
from deputize.upstreams.failover import Breaker, RetryConfig, UpstreamPool, retry_after_s
from deputize.upstreams.upstream import Upstream
from deputize.upstreams.upstream_config import UpstreamConfig


class Canned:
    """An answer out of a can."""

    def __init__(self, status: int, headers: Headers | None = None) -> None:
        self.status, self.headers, self.closed = status, headers or [], False

    async def read(self) -> bytes:
        return b""

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    def close(self) -> None:
        self.closed = True


class CannedTransport:
    """Gives canned answers, or raises canned errors, in turn."""

    def __init__(self, *answers: Canned | UpstreamError) -> None:
        self.answers = list(answers)
        self.urls: list[str] = []

    async def send(
        self, method: str, url: str, headers: Headers, body: bytes, **limits: float | None
    ) -> Canned:
        self.urls.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, UpstreamError):
            raise answer
        return answer

    async def close(self) -> None:
        return None


def pool(transport: CannedTransport, n_members: int = 1, **retry: float) -> tuple[UpstreamPool, list[float]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    members = [
        Upstream(UpstreamConfig(name=f"u{i}", base_url=f"http://u{i}/v1"), transport)
        for i in range(n_members)
    ]
    config = RetryConfig.model_validate({"base_s": 1.0, "max_s": 8.0, **retry})
    return UpstreamPool(members, config, sleep=sleep, clock=lambda: 0.0, rng=random.Random(1)), slept


async def send(upstreams: UpstreamPool) -> int:
    answer = await upstreams.send("POST", upstreams.members, lambda u: ("/v1/x", [], b""))
    return answer.incoming.status


async def test_back_off_grows_and_is_jittered() -> None:
    transport = CannedTransport(Canned(500), Canned(503), Canned(200))
    upstreams, slept = pool(transport)
    assert await send(upstreams) == 200
    assert 0.5 <= slept[0] <= 1.0 <= slept[1] <= 2.0


async def test_the_last_refusal_is_an_answer() -> None:
    upstreams, slept = pool(CannedTransport(Canned(500), Canned(502), Canned(503)))
    assert await send(upstreams) == 503 and len(slept) == 2


async def test_client_errors_are_not_retried() -> None:
    transport = CannedTransport(Canned(400))
    upstreams, slept = pool(transport)
    assert await send(upstreams) == 400 and not slept


async def test_retry_after_is_kept_to_or_left_to_the_client() -> None:
    upstreams, slept = pool(CannedTransport(Canned(429, [("retry-after", "3")]), Canned(200)))
    assert await send(upstreams) == 200 and slept == [3.0]
    upstreams, slept = pool(CannedTransport(Canned(429, [("retry-after", "30")])))
    assert await send(upstreams) == 429 and not slept


async def test_the_next_upstream_takes_over() -> None:
    transport = CannedTransport(UpstreamError("down"), UpstreamError("down"), Canned(200))
    upstreams, _ = pool(transport, 2, attempts=2)
    assert await send(upstreams) == 200
    assert transport.urls == ["http://u0/v1/x", "http://u0/v1/x", "http://u1/v1/x"]


async def test_nobody_answers() -> None:
    upstreams, _ = pool(
        CannedTransport(UpstreamError("one is down"), UpstreamError("two is down")), 2, attempts=1
    )
    with pytest.raises(UpstreamError, match="two is down"):
        await send(upstreams)


def test_breaker_opens_waits_and_lets_one_try() -> None:
    breaker = Breaker(break_after=2, cooldown_s=10)
    assert breaker.allows(0)
    breaker.failed(0)
    assert breaker.allows(0)
    breaker.failed(1)
    assert not breaker.allows(5) and breaker.wait_s(5) == 6
    assert breaker.allows(11) and not breaker.allows(11), "one request at a time tries"
    breaker.failed(12)
    assert not breaker.allows(13)
    assert breaker.allows(23)
    breaker.succeeded()
    assert breaker.allows(23) and breaker.wait_s(23) == 0


def test_retry_after_forms() -> None:
    assert retry_after_s("2.5") == 2.5 and retry_after_s("-1") == 0 and retry_after_s("") is None
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0 and retry_after_s("soon") is None


def test_model_patterns() -> None:
    config = UpstreamConfig(base_url="http://h", models={"gpt-4o": "llama", "claude-*": "*", "x*": "one"})
    assert [config.model_for(m) for m in ("gpt-4o", "claude-3", "xyz", "other")] == [
        "llama",
        "claude-3",
        "one",
        None,
    ]


def test_headers_that_travel() -> None:
    given = {
        "host": "x",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "authorization": "Bearer k",
        "content-length": "3",
        "accept-encoding": "br",
        "x-deputize-site": "s",
        "anthropic-beta": "b",
        "transfer-encoding": "chunked",
    }
    kept = dict(forward_request_headers(given, keep_authorization=True))
    assert kept == {"authorization": "Bearer k", "anthropic-beta": "b", "accept-encoding": "identity"}
    assert "authorization" not in dict(forward_request_headers(given, keep_authorization=False))
    ours = {"authorization": "Bearer dpk_abc", "x-api-key": "other"}
    assert dict(forward_request_headers(ours, keep_authorization=True)).keys() == {
        "x-api-key",
        "accept-encoding",
    }
    answer = forward_answer_headers(
        [("Content-Length", "3"), ("X-Ratelimit", "1"), ("x-deputize-route", "forged")]
    )
    assert answer == [("x-ratelimit", "1")]
    assert header_safe("a\r\nb: ü") == "a??b: ?"


def test_keys_are_found_wherever_clients_put_them() -> None:
    assert key_text({"authorization": "bearer dpk_1"}) == key_text({"x-api-key": "dpk_1"}) == "dpk_1"
    assert key_text({"x-deputize-key": "any", "authorization": "Bearer sk"}) == "any"
    assert key_text({"authorization": "Bearer sk-1"}) == ""


def test_context() -> None:
    def read(**headers: str) -> Context:
        names = {f"x-deputize-{k}": v for k, v in headers.items()}
        return read_context(
            names, pseudonym=lambda raw, tenant: f"p:{tenant}", now=1.0, started=2.0, call_id="c", tenant="t"
        )

    context = read(origin="bob", episode="e", audience="Human", route="SLM")
    assert (context.origin, context.audience, context.override, context.canary_key) == (
        "p:t",
        "human",
        "slm",
        "e",
    )
    assert read().canary_key == "c" and read().origin == ""
    for wrong in ({"audience": "robot"}, {"route": "x"}, {"agent": "a" * 257}):
        with pytest.raises(BadInput, match="x-deputize"):
            read(**wrong)


def test_metrics_text_and_merge() -> None:
    one, two = Metrics(), Metrics()
    one.add("deputize_calls_total", (("reason", 'a"b\\c\nd'),))
    for metrics in (one, two):
        metrics.observe_s("deputize_call_seconds", 0.003)
        metrics.observe_s("deputize_call_seconds", 1000.0)
        metrics.set("deputize_in_flight", 2)
    one.merge(two.snapshot())
    lines = one.text().decode().splitlines()
    assert 'deputize_calls_total{reason="a\\"b\\\\c\\nd"} 1' in lines
    assert (
        'deputize_call_seconds_bucket{le="0.005"} 2' in lines
        and 'deputize_call_seconds_bucket{le="+Inf"} 4' in lines
    )
    assert "deputize_call_seconds_count 4" in lines and "deputize_in_flight 4" in lines
    assert lines.count("# TYPE deputize_call_seconds histogram") == 1


async def test_sessions_are_sealed_private_and_expire(tmp_path: Path) -> None:
    now = [1000.0]
    keyring = KeyRing.open(tmp_path)
    sessions = SealedConversations(ConversationStore(tmp_path, keyring, max_age_s=100, clock=lambda: now[0]))
    said = Conversation(messages=[{"role": "user", "content": "the secret word is ostrich"}])
    await sessions.put("acme", "o_1", "resp_dpz-1", said)
    assert await sessions.get("acme", "resp_dpz-1") == said
    assert (
        await sessions.get("other", "resp_dpz-1") is None and await sessions.get("acme", "resp_dpz-2") is None
    )
    for file in tmp_path.glob("sessions.db*"):
        assert b"ostrich" not in file.read_bytes()
    now[0] += 101
    assert await sessions.get("acme", "resp_dpz-1") is None
    sessions.close()
