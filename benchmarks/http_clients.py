"""The gateway's HTTP client beside others, in one run: `python -m benchmarks.http_clients --json OUT`.

A loopback nginx answers a 1.9 KB POST with a short completion. Every client sends over kept-alive connections from
one uvloop, in turn, several rounds; processor time is that of this process, threads of a client's own included.
pyreqwest, aiohttp and httpx2 are measured where they are installed. Needs Debian's nginx-light.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import table
from benchmarks.gateway import REPLY, REQUEST
from benchmarks.peers import Launch, free_port, nginx_config, started

BODY = json.dumps(REQUEST).encode()
HEADERS = [("content-type", "application/json"), ("authorization", "Bearer sk-none")]
CONNECTIONS = (1, 16, 64)

Ask = Callable[[], Awaitable[int]]
"""Sends one request; gives the bytes of the answer."""


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Ask]:
    """deputize.http.client."""
    from deputize.http.client import Http1Transport

    transport = Http1Transport()

    async def ask() -> int:
        response = await transport.send(
            "POST", url, HEADERS, BODY, connect_timeout_s=5, first_byte_timeout_s=None, deadline_s=30
        )
        return len(await response.read())

    yield ask
    await transport.close()


@asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[Ask]:
    """aiohttp."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask() -> int:
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                return len(await answer.read())

        yield ask


@asynccontextmanager
async def with_httpx(url: str) -> AsyncIterator[Ask]:
    """httpx."""
    httpx = importlib.import_module("httpx")
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(limits=limits) as client:

        async def ask() -> int:
            return len((await client.post(url, content=BODY, headers=HEADERS)).content)

        yield ask


@asynccontextmanager
async def with_pyreqwest(url: str) -> AsyncIterator[Ask]:
    """pyreqwest, Rust's reqwest with a runtime of its own."""
    builder = importlib.import_module("pyreqwest.client").ClientBuilder()
    async with builder.build() as client:

        async def ask() -> int:
            answer = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
            return len(await answer.bytes())

        yield ask


CLIENTS = {"ours": ours, "pyreqwest": with_pyreqwest, "aiohttp": with_aiohttp, "httpx": with_httpx}


async def load(ask: Ask, n_connections: int, seconds: float) -> tuple[float, float]:
    """(requests a second, microseconds of processor time a request)."""
    ends = time.perf_counter() + seconds
    n_done = 0

    async def client() -> None:
        nonlocal n_done
        while time.perf_counter() < ends:
            if not await ask():
                raise RuntimeError("an answer without a body")
            n_done += 1

    cpu_s, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(n_connections)))
    took_s = time.perf_counter() - began
    return n_done / took_s, 1e6 * (time.process_time() - cpu_s) / n_done


async def measured(url: str, seconds: float, n_rounds: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row for each client, and why some are missing."""
    missing: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    async with AsyncExitStack() as stack:
        asks: dict[str, Ask] = {}
        for name, make in CLIENTS.items():
            try:
                asks[name] = await stack.enter_async_context(make(url))
                await load(asks[name], 64, 0.5)
            except ImportError as error:
                missing[name] = str(error)
        seen: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for _ in range(n_rounds):
            for n in CONNECTIONS:
                for name, ask in asks.items():
                    seen.setdefault((name, n), []).append(await load(ask, n, seconds))
        for name in asks:
            row: dict[str, Any] = {"client": name}
            for n in CONNECTIONS:
                rate, cpu_us = (statistics.median(column) for column in zip(*seen[name, n], strict=True))
                best = statistics.median(cpu for _, cpu in seen["ours", n])
                row |= {f"req/s @{n}": rate, f"cpu us @{n}": cpu_us, f"cpu : ours @{n}": cpu_us / best}
            rows.append(row)
    return rows, missing


def main() -> None:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-clients-"))
    port = free_port()
    reply = json.dumps(REPLY).replace("\\", "\\\\")
    body = f"server {{ default_type application/json; listen 127.0.0.1:{port}; location / {{ return 200 '{reply}'; }} }}"
    nginx = Launch(["nginx", "-p", str(folder), "-c", str(nginx_config(folder, port, body))])
    with started(nginx, folder, port, "upstream"):
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        rows, missing = uvloop.run(measured(url, options.seconds, options.rounds))
    table.show("HTTP clients over loopback, 1.9 KB requests", rows)
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")
    table.save(options.json, "http_clients", {"rows": rows, "missing": missing})


if __name__ == "__main__":
    main()
