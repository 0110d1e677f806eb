"""The live page at /ui of a real gateway: people sign in with keys, and see and do what their role may."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from tests.integration.gateway.upstream import LoopbackUpstream, completion
from yarl import URL

from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing


async def test_people_sign_in_with_keys_and_a_revoked_key_ends_its_session(
    home: Path, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(completion())
    keys = ApiKeys(home, KeyRing.open(home))
    agent, operator = keys.create("ingest"), keys.create("operator")
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address
    async with (
        running_gateway(home, settings=settings_for(home, upstream.base_url)) as base_url,
        aiohttp.ClientSession(cookie_jar=jar, headers={"origin": base_url}) as session,
    ):

        async def page(path: str, **form: str) -> tuple[int, str]:
            method = "POST" if form else "GET"
            async with session.request(method, base_url + path, data=form or None) as reply:
                return reply.status, await reply.text()

        assert "API key" in (await page("/ui"))[1] and "API key" in (await page("/ui/calls"))[1]
        assert (await page("/ui/sign-in", key="dpk_nothing"))[0] == 401
        assert (await page("/ui/sign-in", key=agent.text))[0] == 403
        status, first = await page("/ui/sign-in", key=operator.text)
        assert status == 200 and "Calls a minute" in first and operator.key.id in first
        (cookie,) = jar.filter_cookies(URL(f"{base_url}/ui")).values()
        assert not jar.filter_cookies(URL(f"{base_url}/v1/models"))
        assert operator.text not in cookie.value
        assert (await page("/ui/assets/dashboard.css"))[0] == 200
        # a form of another session, and one that is too large
        assert (await page("/ui/routes/r1", token="x", action="close", reason="x"))[0] == 403
        assert (await page("/ui/routes/r1", reason="x" * 70_000))[0] == 413
        keys.revoke(operator.key.id)
        async with asyncio.timeout(30):  # other processes see it within a second
            while "Calls a minute" in (await page("/ui"))[1]:
                await asyncio.sleep(0.1)
        metrics = await session.get(
            f"{base_url}/metrics", headers={"x-deputize-key": keys.create("auditor", tenant="*").text}
        )
        assert 'path="/ui"' in await metrics.text()


async def test_it_can_be_turned_off(home: Path, upstream: LoopbackUpstream) -> None:
    settings = settings_for(home, upstream.base_url, ui=False)
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        for path in ("/ui", "/ui/calls"):
            async with session.get(base_url + path) as reply:
                assert reply.status == 404
