"""Client libraries in processes of their own, in front of LLMs of each protocol and in front of specialists.

Each script in `clients` asks the same questions (a label, a tool call, an object; whole and streamed), and is refused
and cut off. It runs twice: the LLM answers; then the calls that were recorded are routed to specialists, which answer
instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.integration.gateway.clients.scripted_llm import PLACE, REFUSAL, llm
from tests.integration.gateway.specialists import CERTIFICATE, InMemorySpecialists, publish, route_for
from tests.integration.gateway.upstream import LoopbackUpstream

from deputize.core.contracts import answer_of
from deputize.core.records import Call, Contract, Field, Prediction, Request, RouteFile
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.router.request_limits import facts_of, limits_of
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "clients"
ROOT = Path(__file__).parents[3]
UPSTREAMS = {"chat": [CHAT], "messages": [MESSAGES], "openai": [CHAT, RESPONSES]}
WEATHER = [["weather", {"city": "Köln"}]]
EXPECTED: dict[str, Any] = {
    "plain": ["billing", True],
    "streamed": "billing",
    "tool": WEATHER,
    "tool_streamed": WEATHER,
    "structured": PLACE,
    "structured_streamed": PLACE,
}
NODE = [
    ("openai_chat", "chat"),
    ("openai_responses", "responses"),
    ("anthropic_messages", "messages"),
    *(("ai_sdk", protocol) for protocol in ("chat", "compatible", "responses", "messages")),
    *(("langchain", protocol) for protocol in ("chat", "responses", "messages")),
    *(("openai_agents", protocol) for protocol in ("chat", "responses")),
]
PYTHON = [
    ("openai", "chat"),
    ("openai", "responses"),
    ("anthropic", "messages"),
    *(("langchain", protocol) for protocol in ("chat", "responses")),
    *(("pydantic_ai", protocol) for protocol in ("chat", "responses", "messages")),
    *(("openai_agents", protocol) for protocol in ("chat", "responses")),
]
OWN_PYTHON = [
    ("langchain", "messages"),
    *(("litellm", protocol) for protocol in ("chat", "responses", "messages")),
    *(("instructor", mode) for mode in ("TOOLS", "JSON", "JSON_SCHEMA", "MD_JSON", "messages")),
]


def in_front_of_each(clients: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """(script, protocol, upstream) for each upstream; one that has responses too is another one to their clients only."""
    return [
        (script, protocol, upstream)
        for script, protocol in clients
        for upstream in UPSTREAMS
        if upstream != "openai" or protocol == "responses"
    ]


@pytest.mark.parametrize(("script", "protocol", "speaks"), in_front_of_each(NODE))
async def test_node(
    home: Path, upstream: LoopbackUpstream, tmp_path: Path, script: str, protocol: str, speaks: str
) -> None:
    modules = ROOT / ".env-node" / "node_modules"
    node = shutil.which("node")
    if node is None or not modules.exists():
        pytest.skip(
            "Node's clients are not there: `make clients` gets them where Node 20 or newer is installed"
        )
    scripts = tmp_path / "scripts"
    shutil.copytree(HERE / "node", scripts)
    (scripts / "node_modules").symlink_to(modules, target_is_directory=True)
    await check_client(home, upstream, [node, str(scripts / f"{script}.mjs")], protocol, speaks)


@pytest.mark.parametrize(("script", "protocol", "speaks"), in_front_of_each(PYTHON))
async def test_python(
    home: Path, upstream: LoopbackUpstream, script: str, protocol: str, speaks: str
) -> None:
    command = [sys.executable, str(HERE / "python" / f"{script}_client.py")]
    await check_client(home, upstream, command, protocol, speaks)


@pytest.mark.parametrize(("script", "protocol", "speaks"), in_front_of_each(OWN_PYTHON))
async def test_python_with_other_versions(
    home: Path, upstream: LoopbackUpstream, script: str, protocol: str, speaks: str
) -> None:
    """Libraries that want older versions of others than ours live in an environment of their own."""
    python = ROOT / ".env-clients" / "bin" / "python"
    if not python.exists():
        pytest.skip(
            "these libraries want other versions than ours: `make clients` puts them into .env-clients"
        )
    command = [str(python), str(HERE / "python" / f"{script}_client.py")]
    await check_client(home, upstream, command, protocol, speaks)


async def check_client(
    home: Path, upstream: LoopbackUpstream, command: list[str], protocol: str, speaks: str
) -> None:
    """Runs a client in front of an LLM, then in front of specialists that learned its answers."""
    upstream.script = llm(*UPSTREAMS[speaks])
    url = f"anthropic+{upstream.base_url}" if speaks == "messages" else upstream.base_url
    settings = settings_for(home, url)
    settings = settings.model_copy(update={"audit_share": 0.0, "route_poll_s": 0.02})
    specialists = InMemorySpecialists(lambda request: Prediction(answer=None, confidence=0.0))
    async with running_gateway(home, settings=settings, specialists=specialists) as base_url:
        said = await asyncio.to_thread(said_by, [*command, base_url, protocol])
        check_answers(said, "the LLM")
    learned = [c for c in calls_in(home) if is_question(c)]
    publish(home, routes_for(learned))
    specialists.answer = answering(learned)
    upstream.seen.clear()
    async with running_gateway(home, settings=settings, specialists=specialists) as base_url:
        said = await asyncio.to_thread(said_by, [*command, base_url, protocol])
        check_answers(said, "a specialist")
    served = [c for c in calls_in(home) if c.decision is not None and c.decision.served_by == "slm"]
    assert len(served) == len(learned)


def said_by(command: list[str]) -> dict[str, Any]:
    """What a client got, by question."""
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NODE_NO_WARNINGS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert run.returncode == 0, run.stderr[-3000:]
    said: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return said


def check_answers(said: dict[str, Any], who: str) -> None:
    """Checks what a client got."""
    assert {k: said[k] for k in EXPECTED if k in said} == {k: v for k, v in EXPECTED.items() if k in said}, (
        who
    )
    for name in ("refused", "refused_stream"):
        assert REFUSAL in said[name]["message"] and said[name]["status"] in (400, None), (who, said[name])
    assert "thrown" in said["cut"], (who, said["cut"])


def calls_in(home: Path) -> list[Call]:
    """The calls in the store."""
    with Home(home) as opened:
        return list(opened.open_store().calls())


def is_question(call: Call) -> bool:
    """True for a call that was answered and is no later round of an agent's."""
    return call.status == 200 and not call.aborted and all(m["role"] != "tool" for m in call.messages)


def contract_of(call: Call) -> Contract:
    """The contract that a call's reply keeps."""
    made = call.response.get("tool_calls")
    if made:
        return Contract(kind="tool_call", tools=[c["function"]["name"] for c in made])
    if call.response["content"].startswith("{"):
        return Contract(kind="json", fields=[Field(name=name, type="value") for name in PLACE])
    return Contract(kind="label", labels=["billing"])


def routes_for(calls: list[Call]) -> RouteFile:
    """A route for each kind of call."""
    files = [route_for(call.request(), contract_of(call)) for call in calls]
    by_key = {file.routes[0].keys[0]: file for file in files}
    spaces = {file.keyspaces[0].signature: file.keyspaces[0] for file in by_key.values()}
    certificate = structs.replace(CERTIFICATE, limits=limits_of(facts_of(call) for call in calls))
    routes = [
        structs.replace(
            file.routes[0], id=f"route-{n}", specialist=f"specialists/{n}", certificate=certificate
        )
        for n, file in enumerate(by_key.values())
    ]
    return RouteFile(run_id="0001", keyspaces=list(spaces.values()), routes=routes)


def answering(calls: list[Call]) -> Callable[[Request], Prediction]:
    """A specialist that knows the replies to these calls, and says nothing of any other."""
    known = {json.dumps(c.messages): answer_of(c.response, contract_of(c)) for c in calls}

    def answer(request: Request) -> Prediction:
        found = known.get(json.dumps(request.messages))
        confidence = 0.0 if found is None else 0.99
        return Prediction(answer=found, confidence=confidence, n_prompt_tokens=7, n_output_tokens=2)

    return answer
