"""Feedback on runs of an agent: known from the moment that their call is answered, in every worker, and nobody else's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from tests.integration.gateway.upstream import LoopbackUpstream, Stream, completion, text_stream

from deputize.gateway.child_process import start_gateway_process
from deputize.home import Home
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing

BODY = {"model": "big", "messages": [{"role": "user", "content": "q"}]}


async def test_an_episode_is_known_once_it_is_answered_in_both_workers(
    home: Path, upstream: LoopbackUpstream
) -> None:
    upstream.script = lambda seen: (
        Stream(text_stream(*"abcdef", wait_s=0.7)) if seen.json.get("stream") else completion()
    )
    keys = ApiKeys(home, KeyRing.open(home))
    acme, other = (keys.create("ingest", tenant=tenant).text for tenant in ("acme", "other"))
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url, workers=2) as gateway:
        url = f"{gateway.base_url}/v1"

        async def told(episode: str, key: str = acme) -> tuple[int, str]:
            """A connection of its own, which either worker may take."""
            said = {"episode": episode, "metric": "success", "value": True}
            async with (
                aiohttp.ClientSession(headers={"x-deputize-key": key}) as session,
                session.post(f"{url}/deputize/feedback", json=said) as reply,
            ):
                return reply.status, await reply.text()

        async def asked_and_told(episode: str) -> int:
            headers = {"x-deputize-key": acme, "x-deputize-episode": episode}
            async with aiohttp.ClientSession() as session:
                async with session.post(f"{url}/chat/completions", json=BODY, headers=headers) as reply:
                    assert reply.status == 200
                    await reply.read()
                return (await told(episode))[0]

        assert [await asked_and_told(f"run-{i}") for i in range(20)] == [200] * 20

        headers = {"x-deputize-key": acme, "x-deputize-episode": "streaming"}
        stream = {**BODY, "stream": True}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/chat/completions", json=stream, headers=headers) as reply,
        ):
            assert await reply.content.readany()
            begun = [told("streaming") for _ in range(4)]
            results = await asyncio.gather(*begun, told("nobody's"), told("run-3", other))
        assert [status for status, _ in results] == [200] * 4 + [404] * 2
        assert "There is no call of the episode 'run-3' here" in results[-1][1]
    store = Home(home).open_store()
    outcomes = {call.episode: call.outcome for call in store.calls()}
    store.close()
    assert len(outcomes) == 21 and all(one is not None and one.success for one in outcomes.values())
