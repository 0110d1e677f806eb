"""Every role at every path of the gateway: allowed or denied, as the table says; a path without a row fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.gateway.launch import running_gateway
from deputize.gateway.paths import ENDPOINTS
from deputize.gateway.settings import settings_for
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.roles import RIGHTS, Role
from deputize.store.keys.keyring import KeyRing

MESSAGES = [{"role": "user", "content": "hello"}]
CALL = {"model": "m", "messages": MESSAGES, "max_tokens": 5}
EVERYBODY = {role.value for role in Role if role is not Role.OWNER} | {""}
STATUS = {"operator", "curator", "auditor", "admin"}

ALLOWED: dict[str, tuple[str, dict[str, Any] | None, set[str]]] = {
    "/v1/chat/completions": ("POST", CALL, {"ingest"}),
    "/v1/responses": ("POST", {"model": "m", "input": "hello"}, {"ingest"}),
    "/v1/messages": ("POST", CALL, {"ingest"}),
    "/v1/messages/count_tokens": ("POST", CALL, {"ingest"}),
    "/v1/decisions": (
        "POST",
        {
            "model": "m",
            "input": "hello",
            "questions": [{"type": "predicate", "name": "late", "instructions": "It is late."}],
        },
        {"ingest"},
    ),
    "/v1/systemone": (
        "POST",
        {
            "model": "m",
            "state": "hello",
            "questions": {"late": {"type": "noul", "instructions": "It is late."}},
        },
        {"ingest"},
    ),
    "/v1/embeddings": ("POST", {"model": "m", "input": "hello"}, {"ingest"}),
    "/v1/models": ("GET", None, {"ingest"}),
    "/v1/deputize/feedback": (
        "POST",
        {"episode": "e", "metric": "success", "value": 1},
        {"ingest", "curator"},
    ),
    "/metrics": ("GET", None, STATUS),
    "/v1/traces": ("POST", {"resourceSpans": []}, {"ingest"}),
    "/healthz": ("GET", None, EVERYBODY),
    "/readyz": ("GET", None, EVERYBODY),
    "/": ("GET", None, EVERYBODY),
    "/ui": ("GET", None, EVERYBODY),
}
"""Path -> method, body, and who may; "" is somebody without a key. At /ui everybody gets the page where people sign in."""


def test_every_path_has_a_row() -> None:
    """ENDPOINTS is what the gateway looks paths up in: a path that is not there is a 404, so none can be forgotten
    here."""
    assert set(ALLOWED) == set(ENDPOINTS)
    for path, (_, _, roles) in ALLOWED.items():
        right = ENDPOINTS[path].right
        wanted = (
            EVERYBODY
            if right is None
            else {r.value for r in Role if r is not Role.OWNER and right in RIGHTS[r]}
        )
        assert roles == wanted, path


@pytest.fixture
def keys(home: Path) -> dict[str, str]:
    made = ApiKeys(home, KeyRing.open(home))
    return {role: made.create(role).text for role in sorted(EVERYBODY - {""})}


async def test_every_role_at_every_path(home: Path, upstream: LoopbackUpstream, keys: dict[str, str]) -> None:
    upstream.answer_with(completion())
    seen: dict[tuple[str, str], int] = {}
    async with (
        running_gateway(home, settings=settings_for(home, upstream.base_url)) as base_url,
        aiohttp.ClientSession() as session,
    ):
        for path, (method, body, _) in ALLOWED.items():
            for role in sorted(EVERYBODY):
                headers = {"x-deputize-key": keys[role], "x-deputize-episode": "e"} if role else {}
                async with session.request(method, base_url + path, json=body, headers=headers) as reply:
                    seen[path, role] = reply.status
                elsewhere = await session.request(method, base_url + path + "x", json=body, headers=headers)
                elsewhere.close()
                # what else there is under /v1 is an upstream's, for those who may call one
                others = {"": 401, "ingest": elsewhere.status}.get(role, 403)
                wanted = others if path.startswith("/v1/") and "/deputize/" not in path else 404
                assert elsewhere.status == wanted, f"{path}x for {role or 'nobody'}"
                assert role != "ingest" or elsewhere.status not in (401, 403)
    for (path, role), status in seen.items():
        if role in ALLOWED[path][2]:
            assert status not in (401, 403), f"{role or 'nobody'} may use {path}, but got {status}"
        else:
            assert status == (403 if role else 401), (
                f"{role or 'nobody'} may not use {path}, but got {status}"
            )
