"""What a gateway has to survive: kills, full hands, rubbish from either side, limits."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from tests.integration.gateway.upstream import (
    DONE,
    LoopbackUpstream,
    Raw,
    Stream,
    Whole,
    chunk,
    completion,
    loopback_upstream,
    text_stream,
    usage_chunk,
)

from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call
from deputize.gateway.addresses import check_address, check_port, free_port
from deputize.gateway.child_process import start_gateway_process
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import GatewaySettings, read_settings, settings_for, upstream_from
from deputize.home import Home
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig

Recorded = Callable[[int], list[Call]]
MESSAGES: list[Any] = [{"role": "user", "content": "q"}]
BODY = {"model": "big", "messages": MESSAGES}


async def test_no_acknowledged_call_is_lost_by_kill_9(home: Path, upstream: LoopbackUpstream) -> None:
    """Load, kill -9 in the middle, look: every answer that arrived in full is in the store, which opens clean."""
    upstream.script = lambda seen: (
        Stream(text_stream("a", "b", "c", wait_s=0.002)) if seen.json.get("stream") else completion()
    )
    gateway = await asyncio.to_thread(start_gateway_process, home, upstream.base_url)
    acknowledged: set[str] = set()

    async def work(session: aiohttp.ClientSession, stream: bool) -> None:
        while True:
            async with session.post(
                f"{gateway.base_url}/v1/chat/completions", json={**BODY, "stream": stream}
            ) as reply:
                body = await reply.read()
            if reply.status == 200 and (not stream or b'finish_reason": "stop"' in body):
                acknowledged.add(reply.headers["x-deputize-request-id"])

    async with aiohttp.ClientSession() as session:
        workers = [asyncio.ensure_future(work(session, stream=i % 2 == 0)) for i in range(12)]
        while len(acknowledged) < 60:
            await asyncio.sleep(0.01)
        os.killpg(gateway.pid, signal.SIGKILL)
        await asyncio.wait(workers, timeout=10)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    await asyncio.to_thread(gateway.stop)
    # the next start takes in what the dead process left in its journal
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url):
        pass
    store = Home(home).open_store()
    kept = {c.id for c in store.calls()}
    store.close()
    assert len(acknowledged) >= 60 and not acknowledged - kept


async def test_running_answers_are_finished_on_sigterm(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(text_stream("one ", "two ", "three", wait_s=0.15)))
    gateway = await asyncio.to_thread(start_gateway_process, home, upstream.base_url)
    async with openai.AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
        stopping = asyncio.ensure_future(asyncio.to_thread(gateway.stop))
        text = "".join([c.choices[0].delta.content or "" async for c in stream])
    assert text == "one two three" and await stopping == 0
    assert not recorded(1)[0].aborted


async def test_two_workers_serve_one_home(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(completion())
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url, workers=2) as gateway:
        for _ in range(10):  # a connection each, so that both workers get some
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{gateway.base_url}/v1/chat/completions", json=BODY) as reply,
            ):
                assert reply.status == 200
        await asyncio.sleep(1.5)
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.base_url}/metrics") as reply:
            assert "deputize_recorder_queued_total 10" in await reply.text(), "a scrape of one tells of all"
    store = Home(home).open_store()
    assert store.count() == 10
    store.close()


NOT_JSON = "The request body is not valid JSON."
NOT_AN_OBJECT = "The request body must be a JSON object."
TOO_DEEP = "The request body is nested too deeply."
NO_MESSAGES = "The request needs 'messages': a list with at least one message."
NO_INPUT = "The request needs 'input': a text, or a list of items."
NO_SUBJECT = "Feedback names either an 'episode' or a 'call_id'."
WITHOUT_CONTENT = {
    "/v1/chat/completions": NO_MESSAGES,
    "/v1/messages": NO_MESSAGES,
    "/v1/responses": NO_INPUT,
    "/v1/deputize/feedback": NO_SUBJECT,
}


def everywhere(sentence: str) -> dict[str, str]:
    return dict.fromkeys(WITHOUT_CONTENT, sentence)


@pytest.mark.parametrize(
    ("body", "sentences"),
    [
        (b"", everywhere(NOT_JSON)),
        (b"[]", everywhere(NOT_AN_OBJECT)),
        (b'{"model":"m"}', WITHOUT_CONTENT),
        (b'{"model":"m","messages":[]}', WITHOUT_CONTENT),
        (
            b'{"model":"m","messages":["x"]}',
            WITHOUT_CONTENT
            | {"/v1/chat/completions": "Every entry of 'messages' must be an object with a role."},
        ),
        (b"{" * 100_000, everywhere(NOT_JSON)),
        (b"[" * 1_000_000, everywhere(TOO_DEEP)),
        (b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}', everywhere(NOT_JSON)),
        (b'{"a":1', everywhere(NOT_JSON)),
        (b"\x00", everywhere(NOT_JSON)),
        (b'{"model":"m","messages":' + b'[{"a":' * 50_000, everywhere(TOO_DEEP)),
    ],
)
async def test_bad_bodies_are_refused_in_words(
    gateway: str, upstream: LoopbackUpstream, body: bytes, sentences: dict[str, str]
) -> None:
    async with aiohttp.ClientSession() as session:
        for path, sentence in sentences.items():
            async with session.post(
                gateway + path, data=body, headers={"content-type": "application/json"}
            ) as reply:
                assert reply.status == 400
                assert (await reply.json())["error"]["message"] == sentence, path
    assert not upstream.seen


async def test_duplicate_keys_travel_as_they_are(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    body = b'{"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}'
    upstream.answer_with(completion())
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway}/v1/chat/completions", data=body, headers={"content-type": "application/json"}
        ) as reply,
    ):
        assert reply.status == 200
    assert upstream.seen[0].body == body and recorded(1)[0].model == "b"


async def test_a_prompt_of_two_megabytes_passes_and_33_do_not(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion())
    text = "ü" * 1_000_000
    async with aiohttp.ClientSession() as session:
        url = f"{gateway}/v1/chat/completions"
        prompt = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=False
        )
        async with session.post(
            url, data=io.BytesIO(prompt.encode()), headers={"content-type": "application/json"}
        ) as reply:
            assert reply.status == 200
        assert len(upstream.seen[0].body) > 2_000_000

        async def endless() -> Any:
            for _ in range(33):
                yield b" " * 1024 * 1024

        for data in (io.BytesIO(b" " * (33 * 1024 * 1024)), endless()):
            try:
                async with session.post(
                    url, data=data, headers={"content-type": "application/json"}
                ) as reply:
                    assert reply.status == 413
                    assert "32 MB" in (await reply.json())["error"]["message"]
            except aiohttp.ClientError:
                pass  # the connection may be closed before the client has sent it all
    assert recorded(1)[0].messages[0]["content"] == text


async def test_rubbish_upstreams_become_errors(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    settings = settings_for(home, upstream.base_url).model_copy(update={"retry": RetryConfig(attempts=1)})
    async with (
        running_gateway(home, settings=settings) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        for act in (
            Raw(b"\x00\x01 nonsense\r\n\r\n"),
            Raw(b""),
            Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"),
        ):
            upstream.answer_with(act)
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="big", messages=MESSAGES)
            assert caught.value.status_code == 502
        # a frame that is no JSON passes, as does everything else; only the end without a reason is an error
        upstream.answer_with(
            Stream(
                [
                    b"data: {not json\n\n",
                    chunk({"content": "x"}),
                    b"event: odd\ndata:\n\n",
                    chunk({}, "stop"),
                    DONE,
                ]
            )
        )
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/v1/chat/completions", json={**BODY, "stream": True}) as reply,
        ):
            assert b"{not json" in await reply.read()
    assert [c.status for c in recorded(4)] == [502, 502, 502, 200]


@pytest.mark.parametrize("tokens", [-5, 10**400])
async def test_counts_that_no_call_can_have_lose_no_call(
    tokens: int, gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """A server that counts less than nothing, or in 400 digits, gives nobody money back and hides no call."""
    whole = completion().body.replace(b": 3", b": %d" % tokens)
    stream = [chunk({"content": "Hello."}), chunk({}, "stop"), usage_chunk(tokens, tokens), DONE]
    async with aiohttp.ClientSession() as session:
        for act in (Whole(whole), Stream(list(stream))):
            upstream.answer_with(act)
            body = {**BODY, "stream": isinstance(act, Stream)}
            async with session.post(f"{gateway}/v1/chat/completions", json=body) as reply:
                assert reply.status == 200 and b"Hello." in await reply.read()
    for call in recorded(2):
        assert call.usage is not None and 0 <= call.usage.completion_tokens < 100


async def test_fallback_model_mapping_and_circuit(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """The first upstream is down: the second takes over under its own model name; after a while nobody tries the first."""
    broken = f"http://127.0.0.1:{free_port()}/v1"
    settings = GatewaySettings(
        upstreams=(
            UpstreamConfig(name="first", base_url=broken, models={"gpt*": "*"}),
            UpstreamConfig(name="second", base_url=upstream.base_url, models={"gpt-x": "llama", "own*": "*"}),
        ),
        retry=RetryConfig(attempts=2, base_s=0.001, break_after=3, cooldown_s=60),
    )
    upstream.answer_with(completion())
    async with (
        running_gateway(home, settings=settings) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        for _ in range(4):
            await client.chat.completions.create(model="gpt-x", messages=MESSAGES)
        await client.chat.completions.create(model="own-7b", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError, match="No configured upstream takes the model"):
            await client.chat.completions.create(model="claude", messages=MESSAGES)
        async with aiohttp.ClientSession() as session, session.get(f"{base_url}/metrics") as reply:
            metrics = await reply.text()
    assert [s.json["model"] for s in upstream.seen] == ["llama"] * 4 + ["own-7b"]
    assert 'deputize_upstream_events_total{event="failure",upstream="first"} 3' in metrics
    assert 'deputize_upstream_events_total{event="open",upstream="first"}' in metrics
    assert {c.upstream for c in recorded(5)} == {"second"} and recorded(5)[0].model == "gpt-x"


async def test_keys_limits_and_tenants(home: Path, upstream: LoopbackUpstream, recorded: Recorded) -> None:
    upstream.answer_with(completion())
    keys = ApiKeys(home, KeyRing.open(home))
    ingest = keys.create("ingest", tenant="acme", models=["big*"], requests_per_minute=2).text
    auditor = keys.create("auditor").text
    settings = settings_for(home, upstream.base_url)
    async with running_gateway(home, settings=settings) as base_url:

        async def ask(key: str, model: str = "big") -> Any:
            async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
                return await client.chat.completions.create(model=model, messages=MESSAGES)

        await ask(ingest)
        assert "authorization" not in upstream.seen[0].headers, "a key of ours is not for the upstream"
        with pytest.raises(openai.AuthenticationError):
            await ask("sk-other")
        with pytest.raises(openai.PermissionDeniedError):
            await ask(auditor)
        with pytest.raises(openai.PermissionDeniedError, match="may not ask"):
            await ask(ingest, "gigantic")
        await ask(ingest)
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(ingest)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        async with aiohttp.ClientSession() as session:
            for key, status in (("", 401), (ingest, 403), (auditor, 200)):
                async with session.get(f"{base_url}/metrics", headers={"x-deputize-key": key}) as reply:
                    assert reply.status == status
            async with session.get(f"{base_url}/healthz") as reply:
                assert reply.status == 200
    assert {c.tenant for c in recorded(2)} == {"acme"}


async def test_too_many_at_once_are_told_to_come_back(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(Whole(completion().body, wait_s=0.5))
    settings = settings_for(home, upstream.base_url).model_copy(update={"max_concurrency": 2})
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:

        async def ask() -> tuple[int, str]:
            async with session.post(f"{base_url}/v1/chat/completions", json=BODY) as reply:
                return reply.status, reply.headers.get("retry-after", "")

        answers = await asyncio.gather(*(ask() for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 200, 429, 429, 429]
    assert all(wait == "1" for status, wait in answers if status == 429)


async def test_malformed_http_and_header_injection(gateway: str, upstream: LoopbackUpstream) -> None:
    host, port = gateway.removeprefix("http://").split(":")
    body = json.dumps(BODY).encode()
    upstream.answer_with(completion())

    def talk(data: bytes) -> bytes:
        out = b""
        with (
            socket.create_connection((host, int(port)), timeout=3) as connection,
            contextlib.suppress(OSError),
        ):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                out += piece
        return out

    for bad in (
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nx: "
        + b"y" * 300_000
        + b"\r\n\r\n",
    ):
        answer = await asyncio.to_thread(talk, bad)
        assert answer == b"" or answer.split(b" ")[1][:1] in (b"4", b"5")
    injected = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nx-deputize-episode: a\rInjected: 1\r\ncontent-length: %d\r\n\r\n"
        % len(body)
    ) + body
    answer = await asyncio.to_thread(talk, injected)
    assert b"njected" not in answer
    assert all("injected" not in s.headers for s in upstream.seen)


def test_addresses_and_settings_are_checked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_address("127.0.0.1", has_keys=False)
    check_address("::1", has_keys=False)
    check_address("0.0.0.0", has_keys=True)
    for host in ("0.0.0.0", "::", "10.1.2.3", "example.org"):
        with pytest.raises(UsageError, match="no API key exists"):
            check_address(host, has_keys=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot be used: Address already in use"):
            check_port("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="--upstream"):
        settings_for(home, None)
    with pytest.raises(BadInput, match="http"):
        upstream_from("ftp://x")
    assert upstream_from("https://api.anthropic.com").protocol == "anthropic"
    home.mkdir()
    (home / "config.toml").write_text(
        '[gateway]\ndurability = "relaxed"\n[[gateway.upstreams]]\nname = "a"\nbase_url = "http://h/v1"\napi_key_env = "NO_SUCH_KEY"\n'
    )
    settings = read_settings(home)
    assert settings.durability == "relaxed" and settings.upstreams[0].name == "a"
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        settings.upstreams[0].key()
    monkeypatch.setenv("DEPUTIZE_UPSTREAM_API_KEY", "sk-up")
    first = settings_for(home, "http://other").upstreams[0]
    assert first.name == "default" and first.key() == "sk-up"
    (home / "config.toml").write_text("[gateway]\nmax_body_mb = -1\nunknown = 2\n")
    with pytest.raises(BadInput, match=r"max_body_mb.*unknown"):
        read_settings(home)


# --- errors in the first event of a stream ---------------------------------------------------------------------------

_BUSY = Stream([b'data: {"error":{"message":"Busy.","type":"server_error","code":503}}\n\n'])


async def test_a_stream_that_begins_with_an_error_is_asked_again(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(_BUSY, Stream(text_stream("It ", "rains.")))
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
        said = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    assert "".join(said) == "It rains." and len(upstream.seen) == 2
    (call,) = recorded(1)
    assert (call.status, call.aborted, call.response["content"]) == (200, False, "It rains.")


async def test_a_stream_that_is_nothing_but_an_error_is_an_error(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(_BUSY)
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError, match="Busy") as caught:
            await client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
    assert caught.value.status_code == 503
    assert [(c.status, bool(c.response)) for c in recorded(1)] == [(503, False)]


async def test_an_error_at_the_beginning_of_a_stream_is_translated(
    claude_on_openai: anthropic.AsyncAnthropic, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(_BUSY)
    with pytest.raises(anthropic.InternalServerError, match="Busy"):
        await claude_on_openai.messages.create(model="c", max_tokens=9, messages=MESSAGES, stream=True)
    assert recorded(1)[0].status == 503


async def test_the_next_upstream_is_asked_where_a_stream_begins_with_an_error(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(_BUSY)
    async with loopback_upstream() as second:
        second.answer_with(Stream(text_stream("It rains.")))
        settings = settings_for(home, upstream.base_url)
        (first,) = settings.upstreams
        other = first.model_copy(update={"name": "second", "base_url": second.base_url})
        retry = settings.retry.model_copy(update={"attempts": 1})
        settings = settings.model_copy(update={"upstreams": (first, other), "retry": retry})
        async with (
            running_gateway(home, settings=settings) as base_url,
            openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
        ):
            stream = await client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
            said = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    assert "".join(said) == "It rains." and recorded(1)[0].upstream == "second"
