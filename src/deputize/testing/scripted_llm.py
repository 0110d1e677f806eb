"""An OpenAI-compatible server on loopback that answers from a script: for the demo, for tests, for benchmarks.

Knows nothing of what the answers mean. A script is a function from the request body to the assistant message.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from deputize.core.contracts import text_of
from deputize.core.records import Message

Script: TypeAlias = Callable[[dict[str, Any]], Message]

_PIECE = re.compile(r"\s*\S+|\s+")
_MAX_BODY_BYTES = 64 * 1024 * 1024


class ScriptError(Exception):
    """Raised by a script to answer with an error in the OpenAI form."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Latency:
    """The latency of the simulated model: a time to the first token, then a time per token."""

    first_token_ms: float = 450.0
    per_token_ms: float = 12.0

    def scaled(self, factor: float) -> Latency:
        """The same, so many times as long."""
        return Latency(self.first_token_ms * factor, self.per_token_ms * factor)


INSTANT = Latency(0.0, 0.0)


def count_tokens(text: str) -> int:
    """A rough count for the usage figures of a simulated model: a token per four characters, at least one."""
    return max(1, round(len(text) / 4))


class ScriptedUpstream:
    """The server. `await start()`, then `url` is its address (without /v1); `await stop()` ends it.

    `requests` holds the last thousand request bodies, `n_requests` counts them all.
    """

    def __init__(
        self,
        script: Script,
        *,
        model: str = "scripted",
        latency: Latency = INSTANT,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.script, self.model, self.latency = script, model, latency
        self.host, self.port = host, port
        self.n_requests = 0
        self.requests: deque[dict[str, Any]] = deque(maxlen=1000)
        self.headers: deque[dict[str, str]] = deque(maxlen=1000)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address it listens at, once started."""
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is in use.
        """
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        addresses = self._runner.addresses
        self.port = int(addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; requests in hand get half a second."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "n_requests": self.n_requests})

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": "script"}]}
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw)
            if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
                raise ValueError("messages are missing")
        except ValueError as error:
            return _error(400, f"the body is not a chat completion request: {error}")
        self.n_requests += 1
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        try:
            message = self.script(body)
        except ScriptError as error:
            return _error(error.status, str(error))
        digest = hashlib.blake2b(raw, digest_size=12).hexdigest()
        reply = _Reply(
            f"chatcmpl-{digest}", str(body.get("model") or self.model), message, usage_of(body, message)
        )
        if body.get("stream"):
            options = body.get("stream_options") or {}
            return await self._stream(request, reply, bool(options.get("include_usage")))
        await asyncio.sleep(self._seconds(reply.usage["completion_tokens"]))
        return web.json_response(reply.completion())

    async def _stream(self, request: web.Request, reply: _Reply, include_usage: bool) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        await asyncio.sleep(self.latency.first_token_ms / 1000)
        with contextlib.suppress(ConnectionResetError):
            # whoever asked has gone; there is nobody left to tell
            for chunk in reply.chunks(include_usage):
                await response.write(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
                if self.latency.per_token_ms:
                    await asyncio.sleep(self.latency.per_token_ms / 1000)
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        return response

    def _seconds(self, n_tokens: int) -> float:
        return (self.latency.first_token_ms + self.latency.per_token_ms * n_tokens) / 1000


def usage_of(body: dict[str, Any], message: Message) -> dict[str, int]:
    """The usage block for a request and its reply, by `count_tokens`."""
    prompt = "".join(text_of(m) + json.dumps(m.get("tool_calls") or "") for m in body["messages"])
    prompt += json.dumps(body["tools"]) if body.get("tools") else ""
    reply = text_of(message) + "".join(
        json.dumps(c.get("function", {})) for c in message.get("tool_calls") or []
    )
    n_prompt, n_reply = count_tokens(prompt), count_tokens(reply)
    return {"prompt_tokens": n_prompt, "completion_tokens": n_reply, "total_tokens": n_prompt + n_reply}


@dataclass(frozen=True)
class _Reply:
    id: str
    model: str
    message: Message
    usage: dict[str, int]

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.message.get("tool_calls") else "stop"

    def completion(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": None, "refusal": None, **self.message}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [choice],
            "usage": self.usage,
        }

    def chunks(self, include_usage: bool) -> Iterator[dict[str, Any]]:
        yield self._chunk({"role": "assistant", "content": None if self.message.get("tool_calls") else ""})
        for piece in _PIECE.findall(text_of(self.message)):
            yield self._chunk({"content": piece})
        for index, call in enumerate(self.message.get("tool_calls") or []):
            function = call["function"]
            head = {
                "index": index,
                "id": call["id"],
                "type": "function",
                "function": {"name": function["name"], "arguments": ""},
            }
            yield self._chunk({"tool_calls": [head]})
            for piece in _PIECE.findall(function["arguments"]):
                yield self._chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield self._chunk({}, self.finish_reason)
        if include_usage:
            yield {**self._chunk({}), "choices": [], "usage": self.usage}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self.model,
            "choices": [choice],
        }


def _error(status: int, message: str) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "type": "invalid_request_error", "code": None}}, status=status
    )


@contextlib.asynccontextmanager
async def running(upstream: ScriptedUpstream) -> AsyncIterator[ScriptedUpstream]:
    """The server in this event loop, for as long as the block lasts."""
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


@contextlib.contextmanager
def in_thread(upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The server in a thread with an event loop of its own, for callers that are not asynchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted-upstream", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(upstream.start(), loop).result(timeout=10)
        yield upstream
    finally:
        asyncio.run_coroutine_threadsafe(upstream.stop(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def serve_until_stopped(script: Script, *, model: str, port: int, latency: Latency) -> None:
    """Serve in this process, write `{"url": ...}` as a line to stdout, end on SIGTERM, SIGINT or when stdin closes.

    Ending with stdin means that the server never outlives the process that started it.
    """
    upstream = ScriptedUpstream(script, model=model, port=port, latency=latency)
    await upstream.start()
    sys.stdout.write(json.dumps({"url": upstream.url}) + "\n")
    sys.stdout.flush()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    threading.Thread(target=_wait_for_eof, args=(loop, stopped), daemon=True).start()
    await stopped.wait()
    await upstream.stop()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    # the bare descriptor: a buffered reader's lock, held by this thread, would break the interpreter's ending
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop may be closed by then
        loop.call_soon_threadsafe(stopped.set)
