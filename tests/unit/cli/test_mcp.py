"""`deputize mcp` with a real client of the SDK, over standard input and output and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from msgspec import structs
from tests import tiny_specialist, tiny_tasks
from tests.unit.gateway.stubs import live_route

from deputize.cli.main import run
from deputize.core.records import RouteFile
from deputize.gateway.addresses import free_port
from deputize.home import Home
from deputize.routes_file import write_routes

COMMAND = [sys.executable, "-c", "from deputize.cli.main import main; main()"]
TEXT = tiny_specialist.texts(1)[0]


@pytest.fixture(scope="module")
def desk(tiny: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mcp-home")
    tiny_specialist.make(tiny, folder / "one", "linear")
    base = live_route(specialist="one", contract=tiny_tasks.CONTRACTS["closed"], keys=["a"])
    assert base.certificate is not None
    routes = [
        structs.replace(base, id="a", task_id="a", task_name="Sort the mail", threshold=0.0),
        structs.replace(base, id="b", task_id="b", task_name="Never sure", threshold=1.1, keys=["b"]),
    ]
    with Home(folder) as home:
        write_routes(home.routes_path, RouteFile(run_id="1", routes=routes), home.routes_seal)
    return folder


async def asked(client: Client) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    async with client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["sort_the_mail", "never_sure"]
        sure = await client.call_tool("sort_the_mail", {"text": TEXT})
        unsure = await client.call_tool("never_sure", {"text": TEXT})
    return sure.structured_content, unsure.structured_content


def check(sure: dict[str, Any] | None, unsure: dict[str, Any] | None) -> None:
    assert sure is not None and sure["answered"] and sure["answer"]["source"] == "mail"
    assert unsure is not None and not unsure["answered"] and "ask a large model" in unsure["why_not"]
    assert "answer" not in unsure


async def test_a_client_on_standard_input_and_output(desk: Path, tiny: tuple[Path, str]) -> None:
    environ = {**os.environ, "DEPUTIZE_MODELS": str(tiny[0])}
    arguments = [*COMMAND[1:], "--home", str(desk), "mcp"]
    server = StdioServerParameters(command=COMMAND[0], args=arguments, env=environ)
    check(*await asked(Client(server)))
    with Home(desk) as home:
        (entry,) = [e for e in home.audit.entries() if e.action == "mcp.serve"]
    assert entry.detail["tools"] == "sort_the_mail, never_sure"


async def test_a_client_over_http_and_the_agent_card(desk: Path, tiny: tuple[Path, str]) -> None:
    port = free_port("127.0.0.1")
    environ = {**os.environ, "DEPUTIZE_MODELS": str(tiny[0])}
    process = subprocess.Popen([*COMMAND, "--home", str(desk), "mcp", "--http", str(port)], env=environ)
    try:
        card = await asyncio.to_thread(fetched, f"http://127.0.0.1:{port}/.well-known/agent-card.json")
        assert card["url"] == f"http://127.0.0.1:{port}/mcp"
        assert [skill["name"] for skill in card["skills"]] == ["Sort the mail", "Never sure"]
        check(*await asked(Client(card["url"])))
    finally:
        process.terminate()
        assert process.wait(30) == 143, "ended by its signal, in order"


def fetched(url: str) -> dict[str, Any]:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                found: dict[str, Any] = json.loads(reply.read())
                return found
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


def test_the_agent_card_is_printed_and_without_a_live_route_there_is_nothing_to_offer(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(desk), "mcp", "--agent-card"]) == 0
    assert len(json.loads(capsys.readouterr().out)["skills"]) == 2
    with Home(tmp_path / "empty") as home:
        write_routes(home.routes_path, RouteFile(run_id="1"), home.routes_seal)
    assert run(["--home", str(tmp_path / "empty"), "mcp"]) == 2
    assert "No route is live" in capsys.readouterr().err
