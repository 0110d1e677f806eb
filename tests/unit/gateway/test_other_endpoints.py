"""Every other path under /v1."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.unit.gateway.stubs import (
    JSON,
    CannedResponse,
    CannedTransport,
    CountingAuthenticator,
    DictConversations,
    ListRecorder,
    context,
    pool,
    telemetry,
    upstream,
)

from deputize.core.errors import AccessDenied, BadInput, UpstreamError
from deputize.gateway.auth import Caller
from deputize.gateway.conversations import Conversation
from deputize.gateway.metrics import Metrics
from deputize.gateway.other_endpoints import OtherEndpoints, OtherRequest
from deputize.http.handler import HttpReply
from deputize.store.access.api_keys import ApiKey
from deputize.upstreams.upstream import Upstream

KEYED = Caller(tenant="shop", key=ApiKey(id="k", digest=b"", role="ingest"))


class Endpoints:
    """The endpoints in front of some upstreams."""

    def __init__(self, *members: Upstream) -> None:
        self.recorder, self.authenticator = ListRecorder(), CountingAuthenticator()
        self.conversations, self.metrics = DictConversations(), Metrics()
        self.answers = OtherEndpoints(
            upstreams=pool(*members),
            recorder=self.recorder,
            authenticator=self.authenticator,
            conversations=self.conversations,
            telemetry=telemetry(self.metrics),
            max_answer_bytes=10_000_000,
        )

    async def ask(
        self, path: str, fields: dict[str, Any] | None = None, *, method: str = "POST", **more: Any
    ) -> HttpReply:
        body = more.pop("body", json.dumps(fields).encode() if fields else b"")
        made: dict[str, Any] = {"headers": {}, "caller": Caller(), **more}
        return await self.answers.answer(
            OtherRequest(method=method, path=path, body=body, fields=fields or {}, context=context(), **made)
        )


async def read(reply: HttpReply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b"".join([p async for p in reply.body])


def sized(body: bytes, content_type: str = "application/json", status: int = 200) -> CannedResponse:
    return CannedResponse(status, [("content-type", content_type), ("content-length", str(len(body)))], body)


async def test_completions_pass_and_are_recorded_whole() -> None:
    body = b'{"choices":[{"text":" world","finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
    transport = CannedTransport(sized(body))
    made = Endpoints(upstream(transport))
    reply = await made.ask("/v1/completions?a=1", {"model": "m", "prompt": "Hello", "top_p": 1})
    assert reply.body == body and transport.sent[0][0] == "http://u0/v1/completions?a=1"
    (call,) = made.recorder.calls
    assert (call.messages[0]["content"], call.response["content"]) == ("Hello", " world")
    assert (call.protocol, call.params, call.upstream) == ("completions", {"top_p": 1}, "u0")
    assert made.authenticator.charged[0][1].prompt_tokens == 3


async def test_a_stream_passes_piece_by_piece_and_its_end_waits_for_the_record() -> None:
    frames = [b'data: {"choices":[{"text":"a","finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"]
    made = Endpoints(
        upstream(CannedTransport(CannedResponse(200, [("content-type", "text/event-stream")], *frames)))
    )
    reply = await made.ask("/v1/completions", {"model": "m", "prompt": "q", "stream": True})
    assert not isinstance(reply.body, bytes)
    pieces = aiter(reply.body)
    assert await anext(pieces) == frames[0] and not made.recorder.calls
    assert await anext(pieces) == frames[1] and made.recorder.calls[0].response["content"] == "a"


async def test_a_client_that_goes_away_leaves_a_record_that_says_so() -> None:
    made = Endpoints(upstream(CannedTransport(CannedResponse(200, JSON, b"a", b"b", b"c"))))
    reply = await made.ask("/v1/completions", {"model": "m", "prompt": "q"})
    assert not isinstance(reply.body, bytes)
    await reply.body.aclose()
    assert made.recorder.calls[0].aborted


async def test_what_is_not_text_passes_byte_for_byte_and_the_record_says_what_it_lacks() -> None:
    sound = bytes(range(256)) * 10
    made = Endpoints(upstream(CannedTransport(sized(sound, "audio/mpeg"))))
    assert await read(await made.ask("/v1/audio/speech", {"model": "tts", "input": "Hello"})) == sound
    assert made.recorder.calls[0].response["not_recorded"] == ["audio/speech"]


async def test_forms_pass_byte_for_byte_and_go_where_their_model_is() -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    first, second = CannedTransport(sized(b"{}")), CannedTransport(sized(b'{"text":"hi"}'))
    made = Endpoints(
        upstream(first, "a", models={"gpt-*": "*"}), upstream(second, "b", models={"whisper": "*"})
    )
    await made.ask("/v1/audio/transcriptions", headers=headers, body=form)
    assert not first.sent and second.sent[0][2] == form
    with pytest.raises(BadInput, match="more than once"):
        await made.ask(
            "/v1/audio/transcriptions", headers=headers, body=form.removesuffix(b"--x--\r\n") + form
        )


async def test_what_is_no_call_leaves_no_record_and_is_made_once() -> None:
    transport = CannedTransport(sized(b"{}", status=500))
    made = Endpoints(upstream(transport))
    assert (await made.ask("/v1/files", {"a": 1})).status == 500
    assert len(transport.sent) == 1 and not made.recorder.calls


async def test_a_failure_is_recorded() -> None:
    made = Endpoints(upstream(CannedTransport(UpstreamError("down"))))
    with pytest.raises(UpstreamError):
        await made.ask("/v1/moderations", {"model": "m", "input": "q"})
    assert made.recorder.calls[0].status == 502


async def test_responses_are_fetched_from_whoever_keeps_them() -> None:
    first, second = CannedTransport(sized(b'{"at":"a"}')), CannedTransport(sized(b'{"at":"b"}'))
    made = Endpoints(upstream(first, "a"), upstream(second, "b"))
    made.conversations.kept["default", "resp_1"] = Conversation(upstream="b")
    assert (await made.ask("/v1/responses/resp_1", method="GET")).body == b'{"at":"b"}'
    assert (await made.ask("/v1/responses/resp_2/input_items", method="GET")).body == b'{"at":"a"}'
    assert (await made.ask("/v1/responses/resp_dpz-1", method="GET")).status == 404


async def test_tenants_of_one_upstream_key_see_what_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "sk")
    transport = CannedTransport(sized(b"{}"))
    made = Endpoints(upstream(transport, api_key_env="OWN_KEY"))
    for path in (
        "/v1/files",
        "/v1/batches/b",
        "/v1/conversations/c",
        "/v1/organization/users",
        "/v1/realtime/sessions",
    ):
        with pytest.raises(AccessDenied):
            await made.ask(path, method="GET", caller=KEYED)
    assert (await made.ask("/v1/responses/resp_1", method="GET", caller=KEYED)).status == 404
    assert not transport.sent
    made.conversations.kept["shop", "resp_1"] = Conversation(upstream="u0")
    assert (await made.ask("/v1/responses/resp_1/cancel", caller=KEYED)).status == 200
    assert (await made.ask("/v1/moderations", {"input": "q"}, caller=KEYED)).status == 200


async def test_paths_of_a_protocol_go_to_servers_of_it() -> None:
    openai, claude = CannedTransport(sized(b"{}")), CannedTransport(sized(b"{}"))
    made = Endpoints(upstream(openai, "a"), upstream(claude, "b", protocol="anthropic"))
    await made.ask("/v1/messages/batches", {"requests": []})
    await made.ask("/v1/batches", method="GET")
    assert [t.sent[0][0] for t in (openai, claude)] == ["http://a/v1/batches", "http://b/v1/messages/batches"]
    only = Endpoints(upstream(openai, "a"))
    with pytest.raises(BadInput, match="/v1/messages/batches"):
        await only.ask("/v1/messages/batches", {})


async def test_a_cancelled_request_is_recorded_as_such() -> None:
    class Silent(CannedTransport):
        async def send(self, *args: Any, **limits: Any) -> CannedResponse:
            await asyncio.sleep(60)
            raise AssertionError

    made = Endpoints(upstream(Silent()))
    task = asyncio.ensure_future(made.ask("/v1/completions", {"model": "m", "prompt": "q"}))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (made.recorder.calls[0].status, made.recorder.calls[0].aborted) == (499, True)
