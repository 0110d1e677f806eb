"""With `[privacy] live = "mask"`: the LLM sees no personal value, the client and the record have them all, streamed
or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.gateway.upstream import LoopbackUpstream, Seen, Stream, Whole, completion, text_stream
from tests.unit.gateway.stubs import WordDetector

from deputize.core.records import Call
from deputize.gateway import live_masking
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for

TEXT = "I am Anna Miller, anna@example.com, card 4111 1111 1111 1111."
PERSONAL = ("Anna", "anna@", "4111")
CHAT = "/v1/chat/completions"
Recorded = Callable[[int], list[Call]]


def echo(seen: Seen) -> Any:
    """Answers with what was asked last; streams letter by letter."""
    fields = seen.json
    asked = fields["messages"][-1]["content"] if "messages" in fields else str(fields.get("prompt"))
    if fields.get("stream"):
        return Stream(text_stream(*asked))
    return completion(asked)


@pytest.fixture
async def masking(
    home: Path, upstream: LoopbackUpstream, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The base URL of a gateway that masks."""
    home.mkdir()
    (home / "config.toml").write_text('[privacy]\nlive = "mask"\n')
    monkeypatch.setattr(live_masking, "DetectorProcess", lambda *_: WordDetector())
    upstream.script = echo
    async with running_gateway(home, settings=settings_for(home, upstream.base_url)) as base_url:
        yield base_url


async def ask(url: str, fields: dict[str, Any], status: int = 200) -> tuple[str, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"model": "gpt-4o", **fields}) as reply,
    ):
        text = await reply.text()
        assert reply.status == status, text
        return text, dict(reply.headers)


MESSAGES = [{"role": "user", "content": TEXT}]
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": MESSAGES}),
    (CHAT, {"messages": MESSAGES, "stream": True}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5, "stream": True}),
    ("/v1/completions", {"prompt": TEXT}),
]


async def test_the_llm_sees_no_value_and_the_client_gets_them_back(
    masking: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    for path, fields in REQUESTS:
        text, headers = await ask(masking + path, fields)
        if fields.get("stream"):
            events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            pieces = [
                event["choices"][0]["delta"] if event.get("choices") else event.get("delta", {})
                for event in events
            ]
            said = "".join(str(piece.get("content") or piece.get("text") or "") for piece in pieces)
        else:
            said = text
        assert TEXT in said and "PERSON_" not in text, (path, text)
        if path != "/v1/completions":
            assert headers["x-deputize-masked"] == "3"
    assert len(upstream.seen) == len(REQUESTS)
    assert not [value for seen in upstream.seen for value in PERSONAL if value in seen.body.decode()]
    calls = recorded(len(REQUESTS))
    assert all(call.masked and call.messages[-1]["content"] == TEXT for call in calls)
    assert [c.response["content"] for c in calls if c.protocol in ("chat", "messages")] == [TEXT] * 4


async def test_other_paths_are_masked_or_refused(masking: str, upstream: LoopbackUpstream) -> None:
    vectors = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    upstream.answer_with(Whole(json.dumps(vectors).encode()))
    await ask(f"{masking}/v1/embeddings", {"input": TEXT})
    assert not [value for value in PERSONAL if value in upstream.seen[-1].body.decode()]
    refused: list[tuple[str, dict[str, Any]]] = [
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_1"}),
        ("/v1/batches", {"input_file_id": "f"}),
        (
            CHAT,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}
                ]
            },
        ),
    ]
    for path, fields in refused:
        text, _ = await ask(masking + path, fields, status=400)
        assert "mask" in text
    assert len(upstream.seen) == 1


async def test_a_request_that_cannot_be_masked_is_not_sent(
    masking: str, upstream: LoopbackUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_masking, "mask_fields", lambda *_, **__: 1 / 0)
    text, _ = await ask(masking + CHAT, {"messages": MESSAGES}, status=503)
    assert "could not be masked" in text and not upstream.seen


@pytest.mark.slow
async def test_the_detectors_of_a_home_mask_in_a_process_of_their_own(
    home: Path, upstream: LoopbackUpstream
) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[privacy]\nlive = "mask"\nsensitive = ["Projekt Nordlicht"]\n')
    upstream.script = echo
    text = (
        "My name is Anna Kowalska, my mail is anna.kowalska@example.com, my card is 4111 1111 1111 1111.\n"
        "Meine IBAN ist DE89 3704 0044 0532 0130 00, es geht um Projekt Nordlicht.\n"
        "我叫王小明，电话是13800138000。"
    )
    async with running_gateway(home, settings=settings_for(home, upstream.base_url)) as base_url:
        for stream in (False, True):
            said, headers = await ask(
                base_url + CHAT, {"messages": [{"role": "user", "content": text}], "stream": stream}
            )
            assert int(headers["x-deputize-masked"]) >= 6 and "PERSON_" not in said
    personal = ("Kowalska", "anna.", "4111", "DE89", "0532", "Nordlicht", "王小明", "13800138000")
    assert not [value for seen in upstream.seen for value in personal if value in seen.body.decode()]
