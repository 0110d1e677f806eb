"""A gateway in awkward moments, beside its peers in one run: `python -m benchmarks.gateway_scenarios --json OUT`.

The scenarios are those of BerriAI's ai-gateway-bench that no other benchmark here has: the size of a prompt, one long
prompt beside short ones (head of line), a flood of invalid keys, an upstream that fails. A scripted loopback upstream
answers at once. A peer takes
part where it has the feature: invalid keys need keys of the gateway's own (ours, LiteLLM), failover needs two
upstreams (ours, LiteLLM, Portkey). Peers install into environments of their own on first use; the table says which
could not.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import table
from benchmarks.gateway import OURS, REPLY, REQUEST
from benchmarks.peers import PEERS, Launch, Peer, free_port, started

KEY = "sk-bench-master-key-0123456789abcdef"
SIZES = {"2 kB": 0, "40 kB": 40_000, "400 kB": 400_000}
"""Of a prompt: about 500, 10,000 and 100,000 tokens."""

UPSTREAM = """
import asyncio, json, sys
REPLY, BROKEN = sys.argv[2].encode(), b'{"error":{"message":"overloaded","type":"server_error"}}'
seen = {"calls": 0}
async def serve(reader, writer, status):
    try:
        while True:
            head = await reader.readuntil(b'\\r\\n\\r\\n')
            size = next((int(l.split(b':')[1]) for l in head.lower().split(b'\\r\\n') if l.startswith(b'content-length')), 0)
            await reader.readexactly(size)
            body, line = (REPLY, b'200 OK') if status == 200 else (BROKEN, b'500 Internal Server Error')
            if head.startswith(b'GET /seen'):
                body, line = json.dumps(seen).encode(), b'200 OK'
            elif head.startswith(b'POST'):
                seen["calls"] += 1
            writer.write(b'HTTP/1.1 %s\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n%s' % (line, len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    port = int(sys.argv[1])
    for at, status in ((port, 200), (port + 1, 500)):
        await asyncio.start_server(lambda r, w, s=status: serve(r, w, s), '127.0.0.1', at, backlog=1024, limit=2**24)
    await asyncio.Event().wait()
asyncio.run(main())
"""
"""Answers on its port, fails on the next one, and counts the calls that came."""


def request_of(n_bytes: int) -> bytes:
    """A request with so many bytes of prompt more."""
    text = "The customer wrote again about the order. " * (n_bytes // 43 + 1)
    more = [{"role": "user", "content": text[:n_bytes]}] if n_bytes else []
    return json.dumps({**REQUEST, "messages": [*REQUEST["messages"], *more]}).encode()  # type: ignore[misc]


class Client:
    """Sends requests to one gateway."""

    def __init__(self, session: aiohttp.ClientSession, base: str, headers: dict[str, str]) -> None:
        self._session, self._url = session, f"{base}/v1/chat/completions"
        self._headers = {"content-type": "application/json", **headers}

    async def ask(self, body: bytes, **headers: str) -> tuple[int, float]:
        """(status, milliseconds)."""
        began = time.perf_counter()
        async with self._session.post(self._url, data=body, headers={**self._headers, **headers}) as answer:
            await answer.read()
            return answer.status, 1e3 * (time.perf_counter() - began)


async def over(seconds: float, ask: Callable[[], Awaitable[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Asks again and again for some time."""
    ends = time.perf_counter() + seconds
    seen = []
    while time.perf_counter() < ends:
        seen.append(await ask())
    return seen


def latencies(seen: list[tuple[int, float]], status: int = 200) -> dict[str, float]:
    """p50 and p99 in ms of the answers with a status, and how many others there were."""
    ms = sorted(ms for got, ms in seen if got == status)
    if not ms:
        return {"p50": float("nan"), "p99": float("nan"), "others": len(seen)}
    return {
        "p50": statistics.median(ms),
        "p99": ms[min(len(ms) - 1, int(0.99 * len(ms)))],
        "others": len(seen) - len(ms),
    }


async def prompt_sizes(client: Client, seconds: float) -> dict[str, Any]:
    """Milliseconds of a request by its size, one at a time."""
    row: dict[str, Any] = {}
    for name, n_bytes in SIZES.items():
        body = request_of(n_bytes)
        await client.ask(body)
        row[f"p50 ms, {name}"] = latencies(await over(seconds, lambda b=body: client.ask(b)))["p50"]  # type: ignore[misc]
    return row


async def head_of_line(client: Client, seconds: float) -> dict[str, Any]:
    """Short requests of one client, alone and while another sends one of 400 kB after the other."""
    short, long = request_of(0), request_of(SIZES["400 kB"])
    alone = latencies(await over(seconds, lambda: client.ask(short)))
    beside, _ = await asyncio.gather(
        over(seconds, lambda: client.ask(short)), over(seconds, lambda: client.ask(long))
    )
    with_long = latencies(beside)
    return {
        "p50 ms alone": alone["p50"],
        "p50 ms beside a long one": with_long["p50"],
        "p99 ms alone": alone["p99"],
        "p99 ms beside a long one": with_long["p99"],
    }


async def key_flood(client: Client, seconds: float, n_calls: Callable[[], Awaitable[int]]) -> dict[str, Any]:
    """A client with a good key, alone and while 32 others try a new key with each request."""
    body, tried = request_of(0), iter(range(10**9))
    alone = latencies(await over(seconds, lambda: client.ask(body)))

    def bad() -> Awaitable[tuple[int, float]]:
        return client.ask(body, authorization=f"Bearer sk-{next(tried):040d}")

    before = await n_calls()
    good, *floods = await asyncio.gather(
        over(seconds, lambda: client.ask(body)), *(over(seconds, bad) for _ in range(32))
    )
    refused = [status for flood in floods for status, _ in flood]
    beside = latencies(good)
    return {
        "p50 ms alone": alone["p50"],
        "p50 ms in the flood": beside["p50"],
        "p99 ms in the flood": beside["p99"],
        "keys tried/s": len(refused) / seconds,
        "refused": sum(400 <= status < 500 for status in refused) / max(1, len(refused)),
        "reached the upstream": await n_calls() - before - len(good),
    }


async def failover(client: Client, seconds: float) -> dict[str, Any]:
    """Requests whose first upstream answers 500 and whose second answers."""
    body = request_of(0)
    seen = await over(seconds, lambda: client.ask(body))
    found = latencies(seen)
    return {
        "p50 ms": found["p50"],
        "p99 ms": found["p99"],
        "answered": 1 - found["others"] / max(1, len(seen)),
    }


def with_keys(name: str, folder: Path, port: int, upstream: str) -> tuple[Launch, str] | None:
    """How to start a gateway that asks for keys, and a good key; None where it has none of its own."""
    if name == OURS.name:
        from deputize.home import Home

        home = Home(folder / "home")
        return OURS.launch(folder, port, upstream), home.api_keys.create("ingest").text
    if name.startswith("LiteLLM"):
        launch = next(p for p in PEERS if p.name == name).launch(folder, port, upstream)
        return Launch(launch.argv, {**launch.env, "LITELLM_MASTER_KEY": KEY}), KEY
    return None


def with_two_upstreams(name: str, folder: Path, port: int, upstream: str) -> Launch | None:
    """How to start a gateway whose first upstream, one port above the second, fails; None where it takes one only."""
    broken = f"{upstream.rpartition(':')[0]}:{int(upstream.rpartition(':')[2]) + 1}"
    if name == OURS.name:
        home = folder / "home"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            "".join(
                f'[[gateway.upstreams]]\nname = "{n}"\nbase_url = "{url}/v1"\n'
                for n, url in (("first", broken), ("second", upstream))
            )
        )
        argv = [sys.executable, "-m", "deputize.cli.main", "--home", str(home), "serve", "--port", str(port)]
        return Launch(argv)
    peer = next(p for p in PEERS if p.name == name)
    launch = peer.launch(folder, port, upstream)
    if name.startswith("LiteLLM"):
        one = "  - model_name: {0}\n    litellm_params:\n      model: openai/mock\n      api_base: {1}/v1\n      api_key: sk-none\n"
        (folder / "litellm.yaml").write_text(
            f"model_list:\n{one.format('mock', broken)}{one.format('second', upstream)}"
            "router_settings:\n  num_retries: 0\n  fallbacks: [{mock: [second]}]\n"
        )
        return launch
    if name.startswith("Portkey"):
        targets = [
            {"provider": "openai", "custom_host": f"{url}/v1", "api_key": "sk-none"}
            for url in (broken, upstream)
        ]
        config = {"strategy": {"mode": "fallback"}, "targets": targets}
        return Launch(launch.argv, launch.env, headers={"x-portkey-config": json.dumps(config)})
    return None


async def of_gateway(
    scenario: str, base: str, headers: dict[str, str], seconds: float, upstream: str
) -> dict[str, Any]:
    """One row of a scenario."""
    timeout, connector = aiohttp.ClientTimeout(total=60), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def n_calls() -> int:
            async with session.get(f"{upstream}/seen") as answer:
                return int((await answer.json(content_type=None))["calls"])

        client = Client(session, base, headers)
        for _ in range(40):
            if (await client.ask(request_of(0)))[0] == 200:
                break
            await asyncio.sleep(0.25)
        else:
            raise RuntimeError("it refused every request")
        if scenario == "prompt sizes":
            return await prompt_sizes(client, seconds)
        if scenario == "head of line":
            return await head_of_line(client, seconds)
        if scenario == "key flood":
            return await key_flood(client, seconds, n_calls)
        return await failover(client, seconds)


def launch_of(scenario: str, peer: Peer, folder: Path, port: int, upstream: str) -> Launch | None:
    """How to start a gateway for a scenario; None where it lacks the feature."""
    if scenario == "key flood":
        found = with_keys(peer.name, folder, port, upstream)
        if found is None:
            return None
        launch, key = found
        return Launch(launch.argv, launch.env, headers={"authorization": f"Bearer {key}"})
    if scenario == "failover":
        return with_two_upstreams(peer.name, folder, port, upstream)
    return peer.launch(folder, port, upstream)


SCENARIOS = ("prompt sizes", "head of line", "key flood", "failover")


def main() -> None:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one round of load")
    parser.add_argument("--only", default="", help="part of a peer's name; ours and direct always run")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="default: all")
    options = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    missing: dict[str, str] = {}
    folder = Path(tempfile.mkdtemp(prefix="bench-scenarios-"))
    port = free_port()
    (folder / "upstream.py").write_text(UPSTREAM)
    upstream = f"http://127.0.0.1:{port}"
    argv = [sys.executable, str(folder / "upstream.py"), str(port), json.dumps(REPLY)]
    with ExitStack() as stack:
        stack.enter_context(started(Launch(argv), folder, port, "upstream"))
        for scenario in options.scenario or SCENARIOS:
            if scenario in ("prompt sizes", "head of line"):
                row = asyncio.run(of_gateway(scenario, upstream, {}, options.seconds, upstream))
                rows.setdefault(scenario, []).append({"gateway": "direct", **row})
            for peer in (OURS, *(p for p in PEERS if options.only in p.name)):
                own = folder / f"{scenario}-{peer.name}".replace(" ", "-").replace("/", "-")
                own.mkdir()
                try:
                    peer.install()
                    at = free_port()
                    launch = launch_of(scenario, peer, own, at, upstream)
                    if launch is None:
                        continue
                    print(f"{scenario}: {peer.name}", file=sys.stderr, flush=True)
                    with started(launch, own, at, "gateway"):
                        base = f"http://127.0.0.1:{at}"
                        row = asyncio.run(
                            of_gateway(scenario, base, launch.headers, options.seconds, upstream)
                        )
                    rows.setdefault(scenario, []).append({"gateway": peer.name, **row})
                except (RuntimeError, OSError, aiohttp.ClientError, TimeoutError) as error:
                    missing[f"{peer.name}, {scenario}"] = str(error) or type(error).__name__
    for scenario, found in rows.items():
        table.show(scenario, found)
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")
    table.save(options.json, "gateway_scenarios", {"rows": rows, "missing": missing})


if __name__ == "__main__":
    main()
