"""Responses to masked requests: whole or streamed, in every protocol, cut anywhere, with the values put back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from zlib import compress

import pytest

from deputize.core.errors import UpstreamError
from deputize.gateway.restored_response import RestoredResponse, restored_body
from deputize.http.headers import Headers
from deputize.privacy.masking.placeholders import Placeholders
from deputize.wire.dialect import Dialect, ReplyHead
from deputize.wire.events import Assembler, Completion, replay
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES
from deputize.wire.sse import FrameSplitter

NAME, MAIL, NUMBER = 'Anna "A" Miller', "anna@example.com", "123456789"


class Pieces:
    """A response that comes in pieces."""

    def __init__(self, pieces: list[bytes], headers: Headers) -> None:
        self.status, self.headers, self._pieces, self.closed = 200, headers, pieces, False

    async def read(self) -> bytes:
        return b"".join(self._pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        self.closed = True


def placeholders() -> tuple[Placeholders, str, str, int]:
    made = Placeholders()
    return made, made.of("PERSON", NAME), made.of("EMAIL_ADDRESS", MAIL), made.of_number(NUMBER)


def received(
    pieces: list[bytes], kind: str = "text/event-stream", max_bytes: int = 1 << 20, encoding: str = ""
) -> bytes:
    headers = [
        ("content-type", kind),
        ("content-length", "5"),
        *([("content-encoding", encoding)] if encoding else []),
    ]
    response = RestoredResponse(Pieces(pieces, headers), placeholders()[0], max_bytes)
    assert [k for k, _ in response.headers] == ["content-type"]
    return asyncio.run(response.read())


def completion_of(data: bytes, dialect: Dialect) -> Completion:
    parser, assembler = dialect.stream_parser(), Assembler()
    for frame in FrameSplitter().feed(data):
        for event in parser.read(frame):
            assembler.add(event)
    return assembler.completion()


def reply(person: str, mail: str, number: object) -> Completion:
    arguments = json.dumps({"to": [mail], "who": person, "id": number, mail: 1})
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        for n in "12"
    ]
    message = {"role": "assistant", "content": f"Dear {person} <{mail}>, P", "tool_calls": calls}
    return Completion(message=message, finish_reason="tool_calls", id="x", model="m")


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES, RESPONSES], ids=lambda d: d.name)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_stream_comes_back_with_the_values_however_the_text_is_cut(dialect: Dialect, size: int) -> None:
    _, person, mail, number = placeholders()
    writer = dialect.stream_writer(ReplyHead("x", "m"))
    data = (
        b"".join(writer.write(event) for event in replay(reply(person, mail, number), piece=size))
        + writer.end()
    )
    made = received([data[n : n + 41] for n in range(0, len(data), 41)])
    found, meant = completion_of(made, dialect), reply(NAME, MAIL, int(NUMBER))
    assert found.message["content"] == meant.message["content"]
    assert [json.loads(c["function"]["arguments"]) for c in found.message["tool_calls"]] == [
        json.loads(c["function"]["arguments"]) for c in meant.message["tool_calls"]
    ]
    assert found.finish_reason == meant.finish_reason
    assert b"PERSON_" not in made and b"masked.invalid" not in made


def test_the_whole_texts_of_a_stream_are_restored_and_added_events_are_counted() -> None:
    _, person, *_ = placeholders()
    writer = RESPONSES.stream_writer(ReplyHead("x", "m"))
    answer = Completion(message={"role": "assistant", "content": f"{person} P"})
    data = b"".join(writer.write(event) for event in replay(answer, piece=4)) + writer.end()
    frames = [json.loads(f.data) for f in FrameSplitter().feed(received([data])) if f.data.startswith("{")]
    numbers = [f["sequence_number"] for f in frames if "sequence_number" in f]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert next(f for f in frames if f["type"].endswith("output_text.done"))["text"] == f"{NAME} P"


def test_frames_without_placeholders_pass_byte_for_byte_at_once() -> None:
    frames = [b": ping\n\n", b'data: {"choices":[{"index":0,"delta":{"content":"hi! "}}],  "x":1.0}\n\n']
    end = b"data: [DONE]\n\n"

    async def seen() -> list[bytes]:
        response = RestoredResponse(
            Pieces([*frames, end], [("content-type", "text/event-stream")]), placeholders()[0], 999
        )
        return [piece async for piece in response.chunks()]

    assert asyncio.run(seen()) == [*frames, end]


def test_what_waits_comes_when_the_stream_breaks_off_or_ends_without_a_mark() -> None:
    begin = b'data: {"choices":[{"index":0,"delta":{"content":"Hi PERS"}}]}\n\n'
    assert completion_of(received([begin]), CHAT).message["content"] == "Hi PERS"
    last = b'data: {"choices":[{"index":0,"delta":{"content":"ON_1a P"},"finish_reason":"stop"}]}\n\n'
    assert completion_of(received([begin, last]), CHAT).message["content"] == f"Hi {NAME} P"


def test_signed_reasoning_is_left_as_its_provider_wrote_it() -> None:
    _, person, *_ = placeholders()
    block = {"type": "thinking", "thinking": f"{person}?", "signature": "s"}
    body = json.dumps({"content": [block, {"type": "text", "text": person}]}).encode()
    value = json.loads(received([body], "application/json"))
    assert value["content"] == [block, {"type": "text", "text": NAME}]
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": person},
    }
    frame = b"event: content_block_delta\ndata: " + json.dumps(delta).encode() + b"\n\n"
    assert received([frame]) == frame


def test_whole_bodies_in_any_form() -> None:
    made, person, mail, number = placeholders()
    body: dict[str, Any] = {"a": f"to {person}", "b": {"input": {"id": number, mail: [mail]}}, "f": 1.5}
    assert json.loads(received([json.dumps(body).encode()], "application/json")) == {
        "a": f"to {NAME}",
        "b": {"input": {"id": int(NUMBER), MAIL: [MAIL]}},
        "f": 1.5,
    }
    assert (
        restored_body(f"no JSON, {mail} \udcff".encode("utf-8", "surrogateescape"), made)
        == b"no JSON, anna@example.com \xff"
    )
    assert received([b'{"a":  1}'], "application/json") == b'{"a":  1}'


def test_compressed_answers_are_unpacked_and_large_ones_refused() -> None:
    _, person, *_ = placeholders()
    packed = compress(json.dumps({"a": person}).encode())
    assert json.loads(received([packed], "application/json", encoding="deflate")) == {"a": NAME}
    with pytest.raises(UpstreamError, match="larger"):
        received([b"x" * 2000], "text/plain", max_bytes=1000)


def test_closing_releases_the_connection() -> None:
    inner = Pieces([], [])
    RestoredResponse(inner, Placeholders(), 1).close()
    assert inner.closed
