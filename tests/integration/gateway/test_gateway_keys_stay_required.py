"""A running gateway that asks for keys goes on asking, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.gateway.launch import running_gateway
from deputize.home import Home
from deputize.store.access.api_keys import ApiKeys

CALL = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def revoked(keys: ApiKeys, path: Path) -> None:
    keys.revoke_all()


def deleted(keys: ApiKeys, path: Path) -> None:
    path.unlink()


def emptied(keys: ApiKeys, path: Path) -> None:
    path.write_text("{}")


@pytest.mark.parametrize("lose", [revoked, deleted, emptied], ids=lambda f: f.__name__)
async def test_without_keys_nobody_is_let_in(
    home: Path, upstream: LoopbackUpstream, lose: Callable[[ApiKeys, Path], None]
) -> None:
    upstream.answer_with(completion())
    keys = Home(home).api_keys
    headers = {"x-api-key": keys.create("ingest").text}
    async with running_gateway(home, upstream.base_url) as base_url, aiohttp.ClientSession() as session:

        async def status(path: str, **given: str) -> int:
            method = "GET" if path == "/metrics" else "POST"
            async with session.request(method, base_url + path, json=CALL, headers=given) as reply:
                return reply.status

        assert await status("/v1/chat/completions", **headers) == 200
        lose(keys, home / "keys" / "api_keys.json")
        keys_again = Home(home).api_keys
        for _ in range(2):
            assert await status("/v1/chat/completions") == 401
            assert await status("/metrics") == 401
        keys_again.revoke_all()
        keys_again.require(False)
        async with session.get(f"{base_url}/metrics") as reply:
            while reply.status != 200:  # until the gateway looks again
                async with session.get(f"{base_url}/metrics") as reply:
                    pass
        assert await status("/v1/chat/completions") == 200
