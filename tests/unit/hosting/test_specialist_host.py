"""A host's paths: what is answered to whom."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.scripted_hosts import ScriptedHost, says, scripted_host

from deputize.core.errors import DeputizeError, UpstreamError, UpstreamTimeout
from deputize.core.records import Request
from deputize.http.admission import Admitted
from deputize.http.client import Http1Transport
from deputize.http.handler import HttpReply
from deputize.specialists.serving.base import EngineFailure, ServedVersion, StillLoading
from deputize.specialists.serving.frames import PredictReply
from deputize.specialists.serving.host_messages import (
    HEAD,
    PATH,
    HostAnswer,
    HostQuestion,
    SealedQuestion,
    open_answer,
    seal_question,
)
from deputize.specialists.serving.remote_host import RemoteHost
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing

SECRET = b"s" * 32
VERSIONS = {"a": ServedVersion("card-a")}
REQUEST = Request(messages=[{"role": "user", "content": "x"}])


async def asked(running: ScriptedHost, specialist: str, card: str) -> HostAnswer:
    question = HostQuestion(sent_at=time.time(), specialist=specialist, card_sha256=card, request=REQUEST)
    sealed = seal_question(SECRET, question)
    reply = await running.host("POST", PATH, headers_of(sealed), sealed.body)
    assert reply.status == 200 and isinstance(reply.body, bytes)
    return open_answer(sealed.sealer, reply.body)


def headers_of(sealed: SealedQuestion) -> dict[str, str]:
    return {HEAD: sealed.head, "content-length": str(len(sealed.body))}


async def test_it_answers_for_the_version_of_its_route_and_no_other(tmp_path: Path) -> None:
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        found = await asked(running, "a", "card-a")
        assert found.prediction is not None and found.prediction.answer == "x" and not found.trouble
        for specialist, card in (("a", "another card"), ("a", ""), ("b", "card-a")):
            assert (await asked(running, specialist, card)).trouble == "version"
        assert running.worker.asked == 1
        state = (await asked(running, "", "")).state
        assert state is not None and state.specialists == {"a": "card-a"}


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (UpstreamTimeout("late"), "timeout"),
        (UpstreamError("gone"), "away"),
        (EngineFailure("no"), "failed"),
        (StillLoading("soon"), "loading"),
    ],
)
async def test_why_there_is_no_answer(tmp_path: Path, error: DeputizeError, trouble: str) -> None:
    async def fails(specialist: str, request: Request) -> PredictReply:
        raise error

    async with scripted_host(tmp_path, SECRET, VERSIONS, fails) as running:
        found = await asked(running, "a", "card-a")
    assert (found.trouble, found.error, found.prediction) == (trouble, str(error), None)


async def test_a_question_without_the_keys_is_denied_and_noted(tmp_path: Path) -> None:
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        other = seal_question(b"o" * 32, HostQuestion(sent_at=time.time(), specialist="a"))
        for headers in ({}, headers_of(other)):
            assert isinstance(running.host.admit("POST", PATH, headers), HttpReply), "no body is read"
            reply = await running.host("POST", PATH, headers, other.body)
            assert reply.status == 401
        assert running.denied == [PATH] * 4 and running.worker.asked == 0
        assert (await running.host("GET", "/v1/chat/completions", {}, b"")).status == 404


async def test_a_recorded_question_that_is_sent_again_is_refused_before_its_body(tmp_path: Path) -> None:
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        question = HostQuestion(sent_at=time.time(), specialist="a", card_sha256="card-a", request=REQUEST)
        sealed = seal_question(SECRET, question)
        admitted = [running.host.admit("POST", PATH, headers_of(sealed)) for _ in range(2)]
        for one, status in zip(admitted, (200, 401), strict=True):
            assert isinstance(one, Admitted), "a client sends again what a closed connection did not take"
            assert (await one.answer(sealed.body)).status == status
        assert isinstance(running.host.admit("POST", PATH, headers_of(sealed)), HttpReply)
        assert running.worker.asked == 1


@pytest.mark.parametrize(
    "head",
    [
        "POST /v1/specialists HTTP/1.1\r\nhost: h\r\ncontent-length: 33000000\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: h\r\ncontent-length: 33000000\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
async def test_slow_connections_without_keys_keep_no_gateway_from_asking(tmp_path: Path, head: str) -> None:
    """Seventeen bodies that do not come would be all the bytes that a host holds."""
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        host, port = running.address.removeprefix("http://").split(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(40)]
        for _, writer in slow:
            writer.write(head.encode())
        told = [await asyncio.wait_for(reader.readline(), 10) for reader, _ in slow]
        assert all(line.split()[1] in (b"401", b"413") for line in told), set(told)
        transport = Http1Transport()
        question = HostQuestion(sent_at=time.time(), specialist="a", card_sha256="card-a", request=REQUEST)
        found = await RemoteHost(running.address, SECRET, transport).ask(question, 5.0)
        assert found.prediction is not None and found.prediction.answer == "x"
        await transport.close()
        for _, writer in slow:
            writer.close()


async def test_metrics_take_an_api_key_that_may_see_them(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path, KeyRing.open(tmp_path))
    operator, agent = keys.create("operator"), keys.create("ingest")
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a"), keys_required=True) as running:
        assert (await running.host("GET", "/metrics", {}, b"")).status == 401
        assert (await running.host("GET", "/metrics", {"x-api-key": agent.text}, b"")).status == 403
        reply = await running.host("GET", "/metrics", {"authorization": f"Bearer {operator.text}"}, b"")
        assert reply.status == 200 and isinstance(reply.body, bytes)
        assert b'deputize_refused_total{reason="not_authenticated",tenant=""} 1' in reply.body


async def test_health_is_open_and_says_when_it_ends(tmp_path: Path) -> None:
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        assert (await running.host("GET", "/healthz", {}, b"")).status == 200
        assert (await running.host("GET", "/readyz", {}, b"")).status == 200
        running.worker.there = False
        assert (await running.host("GET", "/readyz", {}, b"")).status == 503
        state = (await asked(running, "", "")).state
        assert state is not None and not state.is_ready, "gateways ask it when its specialists are loaded"
        assert not state.is_loading, "its worker is gone"
        running.worker.there = running.worker.loads = True
        state = (await asked(running, "", "")).state
        assert state is not None and state.is_loading and not state.is_ready
        running.host.ready = False
        assert (await running.host("GET", "/healthz", {}, b"")).status == 503
