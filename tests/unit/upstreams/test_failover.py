"""Several upstreams: retries, back-off, fallbacks and circuit breakers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from deputize.core.errors import BadInput, UpstreamError, UpstreamTimeout
from deputize.http.headers import Headers
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

    async def wait_for_piece(self, until_s: float) -> bool:
        return True

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


async def test_a_circuit_that_opens_between_retries_leaves_the_refusal_to_the_client() -> None:
    refusal = Canned(500)
    upstreams, slept = pool(CannedTransport(Canned(503), refusal), break_after=2)
    assert await send(upstreams) == 500 and len(slept) == 1 and not refusal.closed
    assert upstreams.breakers["u0"].wait_s(0.0)


async def test_where_no_other_circuit_is_closed_the_refusal_is_an_answer() -> None:
    upstreams, _ = pool(CannedTransport(Canned(503)), n_members=2, attempts=1, break_after=1)
    upstreams.breakers["u1"].failed(0.0)
    assert await send(upstreams) == 503


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


async def test_where_every_circuit_is_open_nobody_is_asked_and_the_first_one_is_named() -> None:
    transport = CannedTransport(UpstreamError("one is down"), UpstreamError("two is down"))
    upstreams, _ = pool(transport, 2, attempts=1, break_after=1, cooldown_s=10)
    with pytest.raises(UpstreamError, match="two is down"):
        await send(upstreams)
    with pytest.raises(UpstreamError) as caught:
        await send(upstreams)
    sentence = "Upstream 'u0' failed 1 times in a row and is left alone for another 10.0 s."
    assert str(caught.value) == sentence and len(transport.urls) == 2


async def test_the_only_upstream_is_asked_once_while_its_circuit_is_open() -> None:
    transport = CannedTransport(UpstreamError("down"), Canned(500))
    upstreams, slept = pool(transport, attempts=3, break_after=1, cooldown_s=10)
    with pytest.raises(UpstreamError, match="down"):
        await send(upstreams)
    assert await send(upstreams) == 500 and len(transport.urls) == 2 and not slept


async def test_a_failure_is_said_before_that_another_one_could_not_be_asked() -> None:
    upstreams, _ = pool(CannedTransport(UpstreamError("two is down")), 2, attempts=1)

    def prepare(upstream: Upstream) -> tuple[str, Headers, bytes]:
        if upstream.name == "u0":
            raise BadInput("u0 takes no pictures")
        return "/v1/x", [], b""

    with pytest.raises(UpstreamError, match="two is down"):
        await upstreams.send("POST", upstreams.members, prepare)
    with pytest.raises(BadInput, match="no pictures"):
        await upstreams.send("POST", upstreams.members[:1], prepare)


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


class Said(Canned):
    """An answer with a body."""

    def __init__(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        super().__init__(status, headers)
        self.body = body

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body


async def test_advice_on_retries_is_respected() -> None:
    transport = CannedTransport(Canned(409, [("x-should-retry", "false")]))
    upstreams, slept = pool(transport)
    assert await send(upstreams) == 409 and not slept
    quota = b'{"error":{"code":"insufficient_quota"}}'
    upstreams, slept = pool(CannedTransport(Said(429, quota)))
    answer = await upstreams.send("POST", upstreams.members, lambda u: ("/v1/x", [], b""))
    assert answer.incoming.status == 429 and await answer.incoming.read() == quota and not slept
    upstreams, slept = pool(CannedTransport(Canned(429, [("retry-after-ms", "2500")]), Canned(200)))
    assert await send(upstreams) == 200 and slept == [2.5]


async def test_an_upstream_that_is_silent_is_asked_once() -> None:
    transport = CannedTransport(UpstreamTimeout("late"), Canned(200))
    upstreams, _ = pool(transport)
    with pytest.raises(UpstreamTimeout):
        await send(upstreams)
    assert len(transport.urls) == 1
    upstreams, _ = pool(CannedTransport(UpstreamTimeout("late"), Canned(200)))
    answer = await upstreams.send("POST", upstreams.members, lambda u: ("/v1/x", [], b""), may_repeat=True)
    assert answer.incoming.status == 200, "the caller's word"
    upstreams, _ = pool(CannedTransport(UpstreamTimeout("no connection", asked=False), Canned(200)))
    assert await send(upstreams) == 200, "nothing had been sent"
    upstreams, _ = pool(CannedTransport(UpstreamTimeout("late"), Canned(200)), 2)
    assert await send(upstreams) == 200, "another one may be asked"


async def test_all_attempts_share_one_deadline() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += 400.0

    transport = CannedTransport(Canned(500), Canned(500), Canned(500))
    upstreams, _ = pool(transport)
    upstreams.sleep, upstreams.clock = sleep, lambda: now
    with pytest.raises(UpstreamError, match="answered 500"):
        await send(upstreams)
    assert len(transport.urls) == 2, "600 s are over before the third"
