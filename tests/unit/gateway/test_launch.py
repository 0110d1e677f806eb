"""The gateway under its server."""

from __future__ import annotations

import urllib.request
from asyncio import to_thread
from pathlib import Path

import pytest

from deputize.core.errors import UsageError
from deputize.gateway.launch import running_gateway, serve


async def test_inside_a_running_loop(tmp_path: Path) -> None:
    def health(url: str) -> bytes:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as reply:
            body: bytes = reply.read()
            return body

    async with running_gateway(tmp_path, "http://127.0.0.1:9/v1") as url:
        assert await to_thread(health, url) == b'{"status":"ok"}'


def test_an_open_address_needs_keys(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no API key exists"):
        serve(tmp_path, "0.0.0.0", 1, "http://127.0.0.1:9/v1")
