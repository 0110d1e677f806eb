"""Requests on their way to an upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.stubs import CannedTransport, exchange, upstream

from deputize.core.errors import BadInput
from deputize.gateway.exchange import UpstreamExchange
from deputize.gateway.translate import check_translatable, request_for
from deputize.wire.dialect import Dialect
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES


def upstream_exchange(dialect: Dialect, *, same: bool, **config: Any) -> UpstreamExchange:
    return UpstreamExchange(upstream(CannedTransport(), **config), dialect, same, "", False)


def test_the_same_protocol_gets_the_clients_bytes() -> None:
    asked = exchange(query="?beta=1", headers={"x": "1", "host": "h"})
    path, headers, body = request_for(upstream_exchange(CHAT, same=True), asked, ask_for_usage=True)
    assert (path, body) == ("/v1/chat/completions?beta=1", asked.body)
    assert headers == [("x", "1"), ("accept-encoding", "identity"), ("x-request-id", "dpz-1")]
    asked = exchange(headers={"x-request-id": "mine"})
    assert ("x-request-id", "mine") in request_for(
        upstream_exchange(CHAT, same=True), asked, ask_for_usage=True
    )[1]


def test_usage_is_asked_for_in_streams_and_the_leg_says_so() -> None:
    way = upstream_exchange(CHAT, same=True)
    asked = exchange({"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True})
    assert b"include_usage" not in request_for(way, asked, ask_for_usage=False)[2] and not way.adds_usage
    assert b"include_usage" in request_for(way, asked, ask_for_usage=True)[2] and way.adds_usage


def test_models_go_by_the_upstreams_own_names() -> None:
    way = upstream_exchange(CHAT, same=True, models={"m": "llama"})
    assert json.loads(request_for(way, exchange(), ask_for_usage=False)[2])["model"] == "llama"


def test_another_protocol_gets_a_translation_and_the_key_in_its_place() -> None:
    asked = exchange(headers={"authorization": "Bearer sk", "content-type": "text/plain"}, query="?beta=1")
    path, headers, body = request_for(upstream_exchange(MESSAGES, same=False), asked, ask_for_usage=True)
    assert path == "/v1/messages" and json.loads(body)["max_tokens"]
    assert ("x-api-key", "sk") in headers and ("content-type", "application/json") in headers
    assert "anthropic-version" in dict(headers) and "authorization" not in dict(headers)


@pytest.mark.parametrize(
    ("dialect", "fields", "why"),
    [
        (CHAT, {"n": 2}, "'n' cannot be translated"),
        (CHAT, {"tools": [{"type": "web_search"}]}, "runs at the provider"),
        (CHAT, {"prediction": {"x": 1}}, "'prediction'"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "file"}]}]},
            "type 'file at the provider'",
        ),
        (RESPONSES, {"input": "q", "background": True}, "params:background"),
        (RESPONSES, {"input": "q", "previous_response_id": "resp_x"}, "pinned"),
    ],
)
def test_what_would_be_lost_is_refused(dialect: Dialect, fields: dict[str, Any], why: str) -> None:
    fields = {"model": "m", "messages": [{"role": "user", "content": "q"}], **fields}
    with pytest.raises(BadInput, match=why):
        check_translatable(dialect, MESSAGES, fields, dialect.to_chat(fields))
