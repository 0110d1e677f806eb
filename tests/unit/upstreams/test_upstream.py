"""One server that answers LLM calls."""

from __future__ import annotations

import pytest
from tests.unit.gateway.stubs import CannedResponse, CannedTransport, upstream

from deputize.core.errors import UpstreamError
from deputize.upstreams.upstream import read_bounded


async def test_paths_start_at_the_root_and_the_own_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_MINE", "own")
    transport = CannedTransport(CannedResponse(200))
    server = upstream(transport, api_key_env="KEY_OF_MINE")
    await server.send("POST", "/v1/x", [("authorization", "Bearer client")], b"")
    ((url, headers, _),) = transport.sent
    assert url == "http://u0/v1/x" and headers == [("authorization", "Bearer own")] and server.has_key


def test_protocols_that_it_speaks() -> None:
    transport = CannedTransport(CannedResponse(200))
    openai, claude = upstream(transport), upstream(transport, protocol="anthropic")
    names = ("chat", "responses", "messages")
    assert [openai.speaks(n) for n in names] == [True, True, False]
    assert [claude.speaks(n) for n in names] == [False, False, True]
    openai.without_responses = True
    assert not openai.speaks("responses")
    assert upstream(transport, speaks=("messages",)).speaks("messages")


async def test_bodies_are_bounded_whatever_length_they_declare() -> None:
    assert await read_bounded(CannedResponse(200, [], b"ab", b"c"), 3) == b"abc"
    for headers in ([], [("content-length", "4")], [("content-length", "x")]):
        with pytest.raises(UpstreamError, match="larger than"):
            await read_bounded(CannedResponse(200, headers, b"abcd"), 3)
