"""Who may ask for what, what it costs, what stays unsaid: keys, budgets, models, several upstreams, secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from tests.integration.gateway.frames import look, response_frames
from tests.integration.gateway.upstream import (
    LoopbackUpstream,
    Seen,
    Stream,
    Whole,
    chunk,
    completion,
    text_stream,
)

from deputize.core.errors import UsageError
from deputize.core.records import Call
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import GatewaySettings, settings_for
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig

Recorded = Callable[[int], list[Call]]
MESSAGES: list[Any] = [{"role": "user", "content": "q"}]
BODY = {"model": "gpt-4o", "messages": MESSAGES}
CHAT = "/v1/chat/completions"
VECTORS = {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}


def named(upstream: LoopbackUpstream, **members: dict[str, Any]) -> GatewaySettings:
    """Several upstreams that are one scripted server under different paths."""
    root = upstream.base_url.removesuffix("/v1")
    return GatewaySettings(
        upstreams=tuple(
            UpstreamConfig.model_validate({"name": name, "base_url": f"{root}/{name}/v1", **more})
            for name, more in members.items()
        ),
        retry=RetryConfig(attempts=1),
    )


# --- keys
# --------------------------------------------------------------------------------------------------------------


async def test_a_budget_is_spent_by_calls_and_embeddings(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    keys = ApiKeys(home, KeyRing.open(home))
    made = [keys.create("ingest", usd_per_month=1e-9).text for _ in range(4)]
    async with running_gateway(home, upstream.base_url) as base_url:
        for path, asked, act in (
            (CHAT, BODY, completion()),
            (CHAT, {**BODY, "stream": True}, Stream(text_stream("x"))),
            ("/v1/messages", {**BODY, "max_tokens": 5}, completion()),
            ("/v1/embeddings", {"model": "gpt-4o", "input": "words"}, Whole(json.dumps(VECTORS).encode())),
        ):
            key = made.pop()
            upstream.answer_with(act)
            async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
                assert await client.post(path.removeprefix("/v1"), body=asked, cast_to=object)
                with pytest.raises(openai.RateLimitError, match="USD of this month") as caught:
                    await client.post(path.removeprefix("/v1"), body=asked, cast_to=object)
            assert int(caught.value.response.headers["retry-after"]) >= 1
    assert len(upstream.seen) == 4 and len(recorded(4)) == 4


async def test_a_models_name_given_twice_does_not_get_past_a_limit(
    home: Path, upstream: LoopbackUpstream
) -> None:
    """Servers differ in which of two values they take, so a key for certain models may give only one."""
    upstream.answer_with(completion())
    key = ApiKeys(home, KeyRing.open(home)).create("ingest", models=["small"]).text
    messages = '"messages":[{"role":"user","content":"model"}]'
    async with running_gateway(home, upstream.base_url) as base_url, aiohttp.ClientSession() as session:
        for names, status in (
            ('"model":"small"', 200),
            ('"model":"big","model":"small"', 400),
            ('"Model":"big","model":"small"', 400),
            ('"mod\\u0065l":"big","model":"small"', 400),
            ('"model":["big"]', 403),
            ('"model":"big"', 403),
        ):
            for path in (CHAT, "/v1/messages/count_tokens", "/v1/embeddings"):
                body = "{" + names + "," + messages + "}"
                async with session.post(base_url + path, data=body, headers={"x-deputize-key": key}) as reply:
                    assert reply.status == status, (path, names)
    assert all(s.json["model"] == "small" for s in upstream.seen)


async def test_keys_of_upstreams_come_from_a_file_and_stay_there(
    home: Path, upstream: LoopbackUpstream, tmp_path: Path, recorded: Recorded
) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-upstream-secret\n")
    upstream.answer_with(completion())
    settings = named(upstream, a={"api_key_file": str(secret)})
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        headers = {"authorization": "Bearer sk-client", "x-api-key": "sk-client"}
        async with session.post(base_url + CHAT, json=BODY, headers=headers) as reply:
            assert reply.status == 200
    assert upstream.seen[0].headers["authorization"] == "Bearer sk-upstream-secret"
    assert "x-api-key" not in upstream.seen[0].headers
    recorded(1)
    assert not [f for f in home.rglob("*") if f.is_file() and b"sk-upstream" in f.read_bytes()]
    with pytest.raises(UsageError, match="cannot be read"):
        UpstreamConfig(name="a", base_url="http://h", api_key_file=str(tmp_path / "none")).key()


async def test_streams_count_as_answers_under_way(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(Stream([chunk({"content": "x"})], end="stall"))
    settings = settings_for(home, upstream.base_url).model_copy(update={"max_concurrency": 1})
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:

        async def status() -> int:
            async with session.get(f"{base_url}/metrics") as reply:
                return reply.status

        async with session.post(base_url + CHAT, json={**BODY, "stream": True}) as stream:
            assert await stream.content.readany()
            assert await status() == 429
            async with session.get(f"{base_url}/healthz") as reply:
                assert reply.status == 200, "a busy gateway is alive"
        async with asyncio.timeout(5):
            while await status() != 200:
                await asyncio.sleep(0.02)


async def test_feedback_is_about_ones_own_episodes(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """Two tenants with an episode of the same name: neither speaks for the other."""
    upstream.answer_with(completion())
    keys = ApiKeys(home, KeyRing.open(home))
    texts = {tenant: keys.create("ingest", tenant=tenant).text for tenant in ("acme", "other")}
    async with running_gateway(home, upstream.base_url) as base_url, aiohttp.ClientSession() as session:
        for key in texts.values():
            headers = {"x-deputize-key": key, "x-deputize-episode": "order-17"}
            async with session.post(base_url + CHAT, json=BODY, headers=headers) as reply:
                assert reply.status == 200
        said = {"episode": "order-17", "metric": "success", "value": False}
        url = f"{base_url}/v1/deputize/feedback"
        async with session.post(url, json=said, headers={"x-deputize-key": texts["acme"]}) as reply:
            assert reply.status == 200
    outcomes = {c.tenant: c.outcome for c in recorded(2)}
    assert outcomes["acme"] is not None and outcomes["acme"].success is False
    assert outcomes["other"] is None


# --- several upstreams
# ---------------------------------------------------------------------------------------------------


async def test_embeddings_go_where_their_model_is(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """By the model's name, under the upstream's own; the record says where, and has usage though none was sent."""
    upstream.script = lambda seen: (
        Whole(b"{}", status=500) if "/down/" in seen.path else Whole(json.dumps(VECTORS).encode())
    )
    settings = named(
        upstream,
        claude={"protocol": "anthropic"},
        chat={"models": {"gpt*": "*"}},
        down={"models": {"embed": "x"}},
        up={"models": {"embed": "bge-m3"}},
    )
    async with (
        running_gateway(home, settings=settings) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        answer = await client.embeddings.create(model="embed", input="words", encoding_format="float")
        assert answer.data[0].embedding == [0.5]
        with pytest.raises(openai.BadRequestError, match="embeddings"):
            await client.embeddings.create(model="claude-only", input="words")
    assert [s.path for s in upstream.seen] == ["/down/v1/embeddings", "/up/v1/embeddings"]
    assert upstream.seen[1].json == {"model": "bge-m3", "input": "words", "encoding_format": "float"}
    (call,) = recorded(1)
    assert (call.upstream, call.model, call.status, call.aborted) == ("up", "embed", 200, False)
    assert call.usage is not None and call.usage.estimated and call.usage.prompt_tokens > 1


async def test_embeddings_that_fail_or_are_given_up_are_recorded(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Whole(b"{}", wait_s=30))
    async with (
        running_gateway(home, settings=named(upstream, a={})) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            await client.embeddings.create(model="e", input="words", timeout=0.3)
    (call,) = recorded(1)
    assert call.aborted and call.status == 499 and call.protocol == "embeddings"


def listing(seen: Seen) -> Whole:
    """The models of each upstream of the next test."""
    if "/claude/" in seen.path:
        assert seen.headers["x-api-key"] == "sk" and seen.headers["anthropic-version"]
        row = {"type": "model", "id": "claude-x", "display_name": "X", "created_at": "2026-01-01T00:00:00Z"}
        return Whole(
            json.dumps({"data": [row], "has_more": False, "first_id": None, "last_id": None}).encode()
        )
    if "/down/" in seen.path:
        return Whole(b"no", status=500)
    rows = [{"id": i, "object": "model", "created": 1, "owned_by": "o"} for i in ("gpt-a", "gpt-b", "other")]
    return Whole(json.dumps({"object": "list", "data": rows}).encode())


async def test_models_of_several_upstreams_are_one_list(home: Path, upstream: LoopbackUpstream) -> None:
    """By the names clients may use, to either library, whoever keeps the model; a key sees what it may ask for."""
    upstream.script = listing
    settings = named(
        upstream,
        open={"models": {"gpt*": "*", "mine": "llama-3"}},
        claude={"protocol": "anthropic"},
        down={},
    )
    keys = ApiKeys(home, KeyRing.open(home))
    limited = keys.create("ingest", models=["mine", "claude*"]).text
    names = ["mine", "gpt-a", "gpt-b", "claude-x"]
    keys.require(False)
    async with running_gateway(home, settings=settings) as base_url:
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="sk", max_retries=0) as client:
            assert [m.id async for m in await client.models.list()] == names
            assert (await client.models.retrieve("mine")).owned_by == "open"
            with pytest.raises(openai.NotFoundError, match="other"):
                await client.models.retrieve("other")
            shown = client.models.list(extra_headers={"x-deputize-key": limited})
            assert [m.id async for m in await shown] == ["mine", "claude-x"]
        async with anthropic.AsyncAnthropic(base_url=base_url, api_key="sk", max_retries=0) as claude:
            assert [m.id async for m in claude.models.list()] == names
            assert (await claude.models.retrieve("claude-x")).id == "claude-x"


async def test_no_upstream_that_tells_its_models_is_a_502(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(Whole(b"no", status=500))
    async with (
        running_gateway(home, settings=named(upstream, a={}, b={})) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="sk", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match="asked for its models"):
            await client.models.list()


async def test_a_response_is_continued_where_it_is_kept(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """previous_response_id pins a conversation to the upstream that has it, even when another one is first again."""
    first_is_up = False

    def script(seen: Seen) -> Any:
        if "/first/" in seen.path and not first_is_up:
            return Whole(b"{}", status=503)
        return Stream(response_frames("ok"))

    upstream.script = script
    async with (
        running_gateway(home, settings=named(upstream, first={}, second={})) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        async with client.responses.stream(model="m", input="q") as events:
            kept = await events.get_final_response()
        first_is_up = True
        async with client.responses.stream(model="m", input="q", previous_response_id=kept.id) as events:
            await events.get_final_response()
        async with client.responses.stream(model="m", input="q") as events:
            await events.get_final_response()
    assert [s.path.split("/")[1] for s in upstream.seen] == ["first", "second", "second", "first"]
    assert upstream.seen[2].json["previous_response_id"] == "resp_up"
    assert [c.upstream for c in recorded(3)] == ["second", "second", "first"]


# --- paths and secrets
# ---------------------------------------------------------------------------------------------------


async def test_paths_do_not_climb(gateway: str, upstream: LoopbackUpstream) -> None:
    host, port = gateway.removeprefix("http://").split(":")
    upstream.answer_with(Whole(b'{"object":"list","data":[]}'))

    def get(path: str) -> bytes:
        out = b""
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n".encode()
            )
            while piece := connection.recv(65536):
                out += piece
        return out

    for path in (
        "/v1/../../etc/passwd",
        "/v1/models/../../admin",
        "/v1/models/..%2f..%2fadmin",
        "/v1/models//admin",
        "/v1/models/%2e%2e/admin",
        "//etc/passwd",
        "/v1/chat/completions/../../x",
        "http://other/v1/models",
        "/..;/x",
    ):
        answer = await asyncio.to_thread(get, path)
        assert answer.split(b" ")[1] in (b"400", b"404"), path
        assert b"root:" not in answer
    assert not upstream.seen
    assert (await asyncio.to_thread(get, "/v1/models/org/name")).split(b" ")[1] == b"200"
    assert upstream.seen[0].path == "/v1/models/org/name"


SECRETS = ("ostrich-payload", "sk-ostrich-client", "sk-ostrich-upstream", "ostrich-answer", "ostrich-origin")


async def test_logs_metrics_and_files_hold_no_payload_and_no_key(
    home: Path,
    upstream: LoopbackUpstream,
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Good calls, broken ones, refused ones, at the most talkative level of every logger there is."""
    monkeypatch.setenv("OSTRICH", SECRETS[2])
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().slow_callback_duration = 60.0
    keys = ApiKeys(home, KeyRing.open(home))
    ours = keys.create("ingest", models=["gpt*"]).text
    keys.require(False)
    settings = named(upstream, a={"api_key_env": "OSTRICH"})
    text = "ostrich-payload"
    good = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    asks: list[tuple[str, Any, Any]] = [
        (CHAT, good, completion("ostrich-answer")),
        (CHAT, {**good, "stream": True}, Stream(text_stream("ostrich-answer"))),
        (CHAT, {**good, "stream": True}, Stream([chunk({"content": "ostrich-answer"})], end="cut")),
        (CHAT, good, Whole(b'{"error":{"message":"ostrich-answer"}}', status=400)),
        (CHAT, good, Whole(b"ostrich-answer", status=500)),
        (CHAT, b'{"model":"m","messages":"ostrich-payload', completion()),
        (CHAT, b'{"messages":"ostrich-payload"}', completion()),
        ("/v1/messages", {**good, "max_tokens": 5, "tools": [{"type": text, "name": text}]}, completion()),
        ("/v1/messages", {**good, "max_tokens": 5}, Whole(b"ostrich-answer not json")),
        ("/v1/messages", {**good, "max_tokens": 5}, look("chat", stream=False)),
        ("/v1/responses", {"model": "m", "input": text, "previous_response_id": "resp_dpz-x"}, completion()),
        ("/v1/embeddings", {"model": "m", "input": text}, Whole(json.dumps(VECTORS).encode())),
        ("/v1/deputize/feedback", {"episode": "e", "metric": text, "value": text}, completion()),
        ("/v1/deputize/feedback", {"episode": "e", "metric": "success", "value": 1}, completion()),
    ]
    headers = {
        "authorization": "Bearer sk-ostrich-client",
        "x-deputize-origin": "ostrich-origin",
        "x-deputize-episode": "e",
        "content-type": "application/json",
    }
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        for path, body, act in asks:
            upstream.answer_with(act)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(base_url + path, data=data, headers=headers) as reply:
                answer = await reply.text()
                assert "Traceback" not in answer and SECRETS[2] not in answer and SECRETS[1] not in answer
        for key in ("dpk_ostrich-payload", ours, ours[:-1] + "x"):
            async with session.post(
                base_url + CHAT, json={**good, "model": "other"}, headers={"x-deputize-key": key}
            ) as reply:
                assert reply.status in (401, 403) and key not in await reply.text()
        async with session.get(f"{base_url}/metrics") as reply:
            metrics = await reply.text()
    said = caplog.text + metrics + "".join(str(r.args) for r in caplog.records)
    assert not [s for s in (*SECRETS, ours) if s in said]
    calls = recorded(8)
    assert any(text in str(c.messages) for c in calls), "it is all in the store, to whoever has the key"
    for file in (f for f in home.rglob("*") if f.is_file()):
        data = file.read_bytes()
        assert not [s for s in (*SECRETS, ours) if s.encode() in data], file.name
