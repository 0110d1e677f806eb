"""An LLM server that does what a test tells it: answers, stalls, cuts a stream, refuses, talks rubbish."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Whole:
    """A whole answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    wait_s: float = 0.0


@dataclass
class Stream:
    """A stream: bytes are sent as they are, numbers are waits in seconds.

    end: "close" ends the chunked body properly; "cut" drops the connection; "stall" sends nothing more.
    """

    parts: Sequence[bytes | float]
    end: str = "close"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


@dataclass
class Raw:
    """Bytes in place of HTTP, then the connection is closed."""

    data: bytes


Act = Whole | Stream | Raw
Script = Callable[[Seen], Act]


class LoopbackUpstream:
    """A loopback HTTP/1.1 server; `script` says what each request is answered with."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.n_gone = 0
        """Clients that went away before their answer was finished."""
        self.base_url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def answer_with(self, *acts: Act) -> None:
        """Answers with these, one after the other; the last one for ever."""
        left = list(acts)
        self.script = lambda seen: left.pop(0) if len(left) > 1 else left[0]

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while (seen := await _read_request(reader)) is not None:
                self.seen.append(seen)
                if not await self._act(self.script(seen), reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.n_gone += 1
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    async def _act(self, act: Act, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if isinstance(act, Raw):
            writer.write(act.data)
            await writer.drain()
            return False
        if isinstance(act, Whole):
            if act.wait_s and await self._gone_within(reader, act.wait_s):
                return False
            head = {**act.headers, "content-length": str(len(act.body))}
            writer.write(_head(act.status, head) + act.body)
            await writer.drain()
            return True
        writer.write(_head(200, {**act.headers, "transfer-encoding": "chunked"}))
        for part in act.parts:
            if isinstance(part, bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
            elif await self._gone_within(reader, part):
                return False
        if act.end == "close":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        if act.end == "stall":
            await self._gone_within(reader, 3600.0)
            return False
        writer.transport.abort()
        return False

    async def _gone_within(self, reader: asyncio.StreamReader, wait_s: float) -> bool:
        """Waits; True as soon as the client has closed its side."""
        try:
            async with asyncio.timeout(wait_s):
                if await reader.read(1) == b"":
                    self.n_gone += 1
                    return True
        except TimeoutError:
            return False
        return False


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, path, headers, body)


@asynccontextmanager
async def loopback_upstream(
    script: Script | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[LoopbackUpstream]:
    """Runs one on a free loopback port."""
    upstream = LoopbackUpstream(script or (lambda seen: Whole(b"{}")))
    server = await asyncio.start_server(upstream._client, "127.0.0.1", 0, limit=64 * 1024 * 1024, ssl=tls)
    upstream.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in list(upstream._tasks):
            task.cancel()
        await asyncio.gather(*upstream._tasks, return_exceptions=True)


# --- answers in OpenAI's form ----------------------------------------------------------------------------------------


def completion(
    content: str | None = "Hello.", *, model: str = "big", tool_calls: Any = None, **more: Any
) -> Whole:
    """A whole chat completion with usage and a field no client knows."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if tool_calls:
        message["tool_calls"] = tool_calls
    value = {
        "id": "chatcmpl-up1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if tool_calls else "stop"}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        "x_unknown": {"kept": True},
        **more,
    }
    return Whole(json.dumps(value, indent=1).encode())


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One frame of a chat stream."""
    value = {
        "id": "chatcmpl-up1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "big",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def usage_chunk(prompt: int = 11, completion: int = 3) -> bytes:
    """The extra chunk with token counts."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    value = {
        "id": "chatcmpl-up1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "big",
        "choices": [],
        "usage": usage,
    }
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def text_stream(*parts: str, usage: bool = True, wait_s: float = 0.0) -> list[bytes | float]:
    """The frames of a text answer."""
    out: list[bytes | float] = [chunk({"role": "assistant", "content": ""})]
    for part in parts:
        out += [chunk({"content": part})] + ([wait_s] if wait_s else [])
    out.append(chunk({}, "stop"))
    return [*out, *([usage_chunk()] if usage else []), DONE]
