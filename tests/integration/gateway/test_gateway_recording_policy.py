"""Calls of which nothing, or no text, is kept: by a header, by the policy of a tenant or a site; nothing of them is
in the home."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.upstream import LoopbackUpstream, Stream, Whole, completion, text_stream

from deputize.core.records import Call, Contract, Request
from deputize.gateway.evidence_file import read_evidence
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.pipeline.run import calls_of
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.rate_limiter import RateLimiter
from deputize.store.keys.keyring import KeyRing

Recorded = Callable[[int], list[Call]]
PROMPT, ANSWER, RUN = "Quisquilia-prompt", "Quisquilia-answer", "Quisquilia-run"
MESSAGES = [{"role": "user", "content": PROMPT}]
CHAT = "/v1/chat/completions"
VECTORS = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
SLOW = Stream([*text_stream(ANSWER, wait_s=0.03)])
REQUESTS: list[tuple[str, dict[str, Any], Any]] = [
    (CHAT, {"messages": MESSAGES}, completion(ANSWER)),
    (CHAT, {"messages": MESSAGES, "stream": True, "user": RUN, "metadata": {"job": RUN}}, SLOW),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}, completion(ANSWER)),
    ("/v1/responses", {"input": PROMPT}, None),
    ("/v1/embeddings", {"input": PROMPT}, Whole(json.dumps(VECTORS).encode())),
    ("/v1/completions", {"prompt": PROMPT}, Whole(json.dumps({"choices": [{"text": ANSWER}]}).encode())),
    ("/v1/moderations", {"input": PROMPT}, Whole(b'{"results": []}')),
]


async def ask_all(base_url: str, upstream: LoopbackUpstream, headers: dict[str, str]) -> None:
    """One request of each kind; the upstream has no endpoint for responses, so the gateway writes those."""
    async with aiohttp.ClientSession() as session:
        for path, fields, act in REQUESTS:
            if act is None:
                upstream.answer_with(
                    Whole(b'{"error": {"message": "no such path"}}', 404), completion(ANSWER)
                )
            else:
                upstream.answer_with(act)
            body = {"model": "gpt-4o", **fields}
            more = {"x-deputize-episode": RUN, "x-deputize-origin": RUN, **headers}
            async with session.post(base_url + path, json=body, headers=more) as reply:
                text = await reply.text()
                assert reply.status == 200, (path, text)


def rows(home: Path) -> dict[str, int]:
    """Rows of every table of every database of a home."""
    out: dict[str, int] = {}
    for path in home.rglob("*.db"):
        with sqlite3.connect(path) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                out[f"{path.name}:{table}"] = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return out


def holds(home: Path, text: str) -> list[str]:
    return [f.name for f in home.rglob("*") if f.is_file() and text.encode() in f.read_bytes()]


async def test_nothing_of_a_call_that_asks_for_it_is_kept_but_its_price(
    home: Path, upstream: LoopbackUpstream
) -> None:
    key = ApiKeys(home, KeyRing.open(home)).create("ingest", usd_per_month=1000).text
    async with running_gateway(home, upstream.base_url):
        pass
    before = rows(home)
    async with running_gateway(home, upstream.base_url) as base_url:
        await ask_all(base_url, upstream, {"x-deputize-key": key, "x-deputize-record": " OFF "})
    after = rows(home)
    spent = {name for name in after if after[name] != before.get(name, 0)}
    assert spent == {"meter.db:spending"}
    (made,) = Home(home).api_keys.list()
    assert RateLimiter(home).spent_usd(made) > 0, "it counts for the bill"
    opened = Home(home).open_store()
    assert opened.count() == 0
    opened.close()
    assert not holds(home, "Quisquilia")
    assert not any(name.startswith("x-deputize") for seen in upstream.seen for name in seen.headers)


async def test_metadata_holds_no_text_and_is_never_trained_on(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    async with running_gateway(home, upstream.base_url) as base_url:
        headers = {"x-deputize-record": "metadata", "x-deputize-agent": "desk", "x-deputize-site": "triage"}
        await ask_all(base_url, upstream, headers)
    calls = recorded(len(REQUESTS))
    for call in calls:
        assert "Quisquilia" not in msgspec.json.encode(call).decode(), call.protocol
        assert (call.recorded, call.model, call.agent, call.status) == ("metadata", "gpt-4o", "desk", 200)
        assert call.latency_ms and call.timestamp and call.origin.startswith("o_")
    assert all(call.usage for call in calls if call.protocol in ("chat", "messages", "responses"))
    conversations = Home(home).existing_conversations()
    assert conversations is None or list(conversations.all("default")) == []
    assert list(calls_of(Home(home), "default")) == []
    assert not holds(home, "Quisquilia")


async def test_the_stricter_of_header_and_policy_holds(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        '[recording.tenants]\nacme = "metadata"\n[recording.sites]\ndiary = "off"\n"desk/notes" = "metadata"\n'
    )
    keys = ApiKeys(home, KeyRing.open(home))
    acme, other = (keys.create("ingest", tenant=tenant).text for tenant in ("acme", "other"))
    upstream.answer_with(completion(ANSWER))
    async with running_gateway(home, upstream.base_url) as base_url, aiohttp.ClientSession() as session:

        async def ask(key: str, site: str, agent: str, record: str) -> None:
            headers = {"x-deputize-key": key, "x-deputize-site": site, "x-deputize-agent": agent}
            headers |= {"x-deputize-record": record} if record else {}
            body = {"model": "gpt-4o", "messages": MESSAGES}
            async with session.post(base_url + CHAT, json=body, headers=headers) as reply:
                assert reply.status == 200

        for site, agent, record in (
            ("full", "a", ""),
            ("diary", "a", ""),
            ("diary", "a", "metadata"),
            ("notes", "desk", "full"),
            ("notes", "other", "full"),
            ("asked", "a", "metadata"),
        ):
            await ask(other, site, agent, record)
        for site, record in (("less", "full"), ("none", "off")):
            await ask(acme, site, "a", record)
    found = {(c.tenant, c.site, c.agent): c.recorded for c in recorded(5)}
    assert found == {
        ("other", "full", "a"): "full",
        ("other", "notes", "desk"): "metadata",
        ("other", "notes", "other"): "full",
        ("other", "asked", "a"): "metadata",
        ("acme", "less", "a"): "metadata",
    }


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/completions", "/v1/traces"])
async def test_an_unknown_wish_is_refused_in_words(home: Path, upstream: LoopbackUpstream, path: str) -> None:
    async with running_gateway(home, upstream.base_url) as base_url, aiohttp.ClientSession() as session:
        headers = {"x-deputize-record": "no"}
        async with session.post(
            base_url + path, json={"model": "m", "messages": []}, headers=headers
        ) as reply:
            assert reply.status == 400 and "must be 'off'" in await reply.text()
    assert upstream.seen == []


@pytest.mark.parametrize("record", ["off", "metadata"])
async def test_a_route_answers_without_audit_or_comparison(
    home: Path, upstream: LoopbackUpstream, record: str
) -> None:
    asked = Request(messages=[{"role": "system", "content": "Say the intent."}, *MESSAGES])
    contract = Contract(kind="label", labels=["lost_card", "transfer"])
    upstream.answer_with(completion("lost_card"))
    for state, served_by in (("live", "slm"), ("shadow", "llm")):
        publish(home, route_for(asked, contract, state=state))  # type: ignore[arg-type]
        specialists = InMemorySpecialists(saying("lost_card"))
        settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 1.0})
        upstream.seen.clear()
        async with running_gateway(home, settings=settings, specialists=specialists) as base_url:
            async with aiohttp.ClientSession() as session:
                body = {"model": "big", "messages": asked.messages}
                headers = {"x-deputize-record": record}
                async with session.post(base_url + CHAT, json=body, headers=headers) as reply:
                    assert reply.headers["x-deputize-served-by"] == served_by
            await asyncio.sleep(0.1)
        assert len(upstream.seen) == (served_by == "llm"), "no audit"
        assert len(specialists.asked) == (served_by == "slm"), "no comparison"
    assert not read_evidence(home, None)
