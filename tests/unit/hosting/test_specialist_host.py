"""A host's paths: what is answered to whom."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from tests.scripted_hosts import ScriptedHost, says, scripted_host

from deputize.core.errors import DeputizeError, UpstreamError, UpstreamTimeout
from deputize.core.records import Request
from deputize.specialists.serving.base import EngineFailure, ServedVersion, StillLoading
from deputize.specialists.serving.frames import PredictReply
from deputize.specialists.serving.host_messages import (
    PATH,
    HostAnswer,
    HostQuestion,
    open_answer,
    seal_question,
)
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing

SECRET = b"s" * 32
VERSIONS = {"a": ServedVersion("card-a")}
REQUEST = Request(messages=[{"role": "user", "content": "x"}])


async def asked(running: ScriptedHost, specialist: str, card: str) -> HostAnswer:
    question = HostQuestion(sent_at=time.time(), specialist=specialist, card_sha256=card, request=REQUEST)
    body, sealer = seal_question(SECRET, question)
    reply = await running.host("POST", PATH, {}, body)
    assert reply.status == 200 and isinstance(reply.body, bytes)
    return open_answer(sealer, reply.body)


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
        body, _ = seal_question(b"o" * 32, HostQuestion(sent_at=time.time(), specialist="a"))
        for wrong in (b"", body, msgspec.json.encode({"specialist": "a"})):
            reply = await running.host("POST", PATH, {}, wrong)
            assert reply.status == 401
        assert running.denied == [PATH] * 3 and running.worker.asked == 0
        assert (await running.host("GET", "/v1/chat/completions", {}, b"")).status == 404


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
        running.host.ready = False
        assert (await running.host("GET", "/healthz", {}, b"")).status == 503
