"""Embeddings, lists of models and token counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.stubs import (
    JSON,
    CannedResponse,
    CannedTransport,
    CountingAuthenticator,
    ListRecorder,
    context,
    pool,
    telemetry,
    upstream,
)

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.auth import Caller
from deputize.gateway.metrics import Metrics
from deputize.gateway.passthrough import Passthrough
from deputize.upstreams.upstream import Upstream


def passthrough(
    *members: Upstream, metrics: Metrics | None = None
) -> tuple[Passthrough, ListRecorder, CountingAuthenticator]:
    recorder, authenticator = ListRecorder(), CountingAuthenticator()
    made = Passthrough(
        max_answer_bytes=1 << 20,
        upstreams=pool(*members),
        recorder=recorder,
        authenticator=authenticator,
        telemetry=telemetry(metrics),
    )
    return made, recorder, authenticator


FIELDS: dict[str, Any] = {"model": "embed", "input": ["a", "b"], "dimensions": 3}


async def test_embeddings_pass_and_their_input_is_recorded() -> None:
    body = b'{"data":[],"usage":{"prompt_tokens":4}}'
    made, recorder, authenticator = passthrough(upstream(CannedTransport(CannedResponse(200, JSON, body))))
    reply = await made.embeddings("/v1/embeddings", {}, FIELDS, b"{}", context(), Caller())
    (call,) = recorder.calls
    assert (
        reply.body == body and call.messages[0]["content"] == '["a","b"]' and call.params == {"dimensions": 3}
    )
    assert authenticator.charged[0][1].prompt_tokens == 4


async def test_embeddings_without_an_upstream_or_an_answer() -> None:
    made, recorder, _ = passthrough(upstream(CannedTransport(UpstreamError("down"))))
    with pytest.raises(UpstreamError):
        await made.embeddings("/v1/embeddings", {}, FIELDS, b"{}", context(), Caller())
    assert recorder.calls[0].status == 502
    made, _, _ = passthrough(upstream(CannedTransport(CannedResponse(200)), protocol="anthropic"))
    with pytest.raises(BadInput, match="has embeddings"):
        await made.embeddings("/v1/embeddings", {}, FIELDS, b"{}", context(), Caller())


async def test_tokens_are_estimated_where_no_upstream_counts() -> None:
    made, _, _ = passthrough(upstream(CannedTransport(CannedResponse(200))))
    reply = await made.count_tokens("/v1/messages/count_tokens", {}, {"messages": ["x" * 40]}, b"{}")
    assert ("x-deputize-estimated", "true") in reply.headers
    assert isinstance(reply.body, bytes) and json.loads(reply.body)["input_tokens"] > 9


async def test_the_models_of_several_upstreams_are_one_list() -> None:
    listed = CannedResponse(200, JSON, b'{"data":[{"id":"x"},{"id":"y"}]}')
    mapped = upstream(CannedTransport(CannedResponse(200)), "b", models={"gpt": "llama"})
    made, _, _ = passthrough(upstream(CannedTransport(listed), "a"), mapped)
    reply = await made.models("/v1/models", "", {}, Caller())
    assert isinstance(reply.body, bytes)
    assert [row["id"] for row in json.loads(reply.body)["data"]] == ["x", "y", "gpt"]
    assert (await made.models("/v1/models/gpt", "gpt", {}, Caller())).status == 200
    assert (await made.models("/v1/models/none", "none", {}, Caller())).status == 404
