"""A host, started and taken down again: what it leaves in the audit log, and what it does not begin with."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp
import pytest

from deputize.core.errors import StoreError, UsageError
from deputize.home import Home
from deputize.hosting.host_process import engine_of, running_host


async def test_a_host_is_noted_and_says_that_it_is_there(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.keyring.id
    async with running_host(home) as address, aiohttp.ClientSession() as client:
        async with client.get(f"{address}/readyz") as reply:
            assert reply.status == 200, "it has no routes, so nothing is missing"
        async with client.get(f"{address}/metrics") as reply:
            assert reply.status == 200 and "deputize_routes" in await reply.text()
    assert "specialists.serve" in [entry.action for entry in home.audit.entries()]


async def test_a_home_without_keys_serves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no keys"):
        async with running_host(Home(tmp_path / "none")):
            raise AssertionError("it runs")
    assert not (tmp_path / "none").exists()


async def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.keyring.id
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="cannot be used"):
        async with running_host(home, port=taken.getsockname()[1]):
            raise AssertionError("it runs")


def test_an_engine_of_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[engine]\nkind = "in-process"\n')
    with pytest.raises(UsageError, match="does not say which version"):
        engine_of(Home(tmp_path))
