"""The gateway compared with its peers, in one run: `python -m benchmarks.gateway --json OUT`.

A loopback nginx plays the upstream; wrk sends a 1.9 KB chat request with tools; every gateway is measured in turn,
several rounds interleaved, so that drift of the machine hits all alike. Ours runs with strict durability, encryption
and routing on. Processor time per request (user and system, of a gateway and all its children) is given next to rates,
for it says what a gateway costs even where load generator and upstream compete with it for the cores. Needs Debian's
nginx-light and wrk; peers install into environments of their own on first use, and the table says which could not.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.peers import (
    PEERS,
    Launch,
    Peer,
    free_port,
    nginx_config,
    started,
    tree_cpu_s,
    tree_pss_mib,
    tree_rss_mib,
)

CONNECTIONS = (1, 16, 64)
SETTLE_S = 0.3
"""After a round: what a gateway still does for it (its log) counts as well."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name.replace('_', ' ')}: use it when the case in hand asks for it, once per case.",
            "parameters": {
                "type": "object",
                "properties": {
                    "order_id": {"type": "string"},
                    "amount": {"type": "number"},
                    "note": {"type": "string"},
                },
                "required": ["order_id"],
            },
        },
    }
    for name in ("lookup_order", "issue_refund", "send_replacement")
]
REQUEST = {
    "model": "mock",
    "messages": [
        {
            "role": "system",
            "content": "You are the next-action component of a help desk. " + "Follow the policy. " * 30,
        },
        {"role": "user", "content": "Order: AB-12345\nIntent: refund_request\nWhat is the next action?"},
    ],
    "tools": TOOLS,
    "temperature": 0,
}
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "mock",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "lookup_order", "arguments": '{"order_id": "AB-12345"}'},
                    }
                ],
            },
        }
    ],
    "usage": {"prompt_tokens": 420, "completion_tokens": 17, "total_tokens": 437},
}

MODELS = {"object": "list", "data": [{"id": "mock", "object": "model", "created": 1, "owned_by": "bench"}]}


def ours(folder: Path, port: int, upstream: str, *, n_workers: int = 1) -> Launch:
    """Our gateway as a user starts it, strict durability and routing on."""
    argv = [sys.executable, "-m", "deputize.cli.main", "--home", str(folder / "home"), "serve"]
    return Launch([*argv, "--port", str(port), "--upstream", upstream, "--workers", str(n_workers)])


OURS = Peer("deputize (ours)", "routing, encrypted durable log", lambda: None, ours)


def write_routes(home: Path) -> None:
    """A route file with many routes of which none fits: the matcher does its work, the upstream answers."""
    from deputize.core.records import Contract, KeySpace, Request, Route, RouteFile
    from deputize.core.signature import signature
    from deputize.home import Home
    from deputize.routes_file import write_routes as write

    request = Request(messages=REQUEST["messages"], tools=TOOLS)  # type: ignore[arg-type]
    spaces = [KeySpace(signature=signature(request), lines=[f"line {i}" for i in range(200)])]
    routes = [
        Route(
            id=f"r{i}",
            task_id=f"t{i}",
            task_name=f"task {i}",
            keys=[f"key{i}"],
            contract=Contract(kind="label"),
            specialist="",
            threshold=0.9,
            state="live",
        )
        for i in range(50)
    ]
    file = RouteFile(run_id="bench", keyspaces=spaces, routes=routes)
    write(home / "routes.json", file, Home(home).routes_seal)


def wrk(
    url: str,
    headers: dict[str, str],
    connections: int,
    seconds: float,
    folder: Path,
    *,
    pid: int = 0,
    n_cores: int | None = None,
) -> dict[str, float]:
    """One round of load. Latencies in ms; `answered` counts complete 2xx and 3xx answers.

    Args:
        pid: a gateway's process; `cpu_us` is what it and its children took for a request.
        n_cores: cores that the load generator may use, from the first one on; None: all.
    """
    script = folder / f"post-{abs(hash(url))}.lua"
    lines = "\n".join(
        f'wrk.headers["{k}"] = "{v}"' for k, v in {"content-type": "application/json", **headers}.items()
    )
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{json.dumps(REQUEST)}]==]\n{lines}\n")
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
    argv = confined([*argv, "-s", str(script), url], n_cores)
    cpu_s = tree_cpu_s(pid) if pid else 0.0
    said = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=True).stdout
    if pid:
        time.sleep(SETTLE_S)
        cpu_s = tree_cpu_s(pid) - cpu_s
    number = {
        p: _ms(m.group(1)) for p in (50, 99) if (m := re.search(rf"^\s+{p}%\s+(\S+)", said, re.MULTILINE))
    }
    total = int(m.group(1)) if (m := re.search(r"(\d+) requests in", said)) else 0
    bad = int(m.group(1)) if (m := re.search(r"Non-2xx or 3xx responses: (\d+)", said)) else 0
    rate = float(m.group(1)) if (m := re.search(r"Requests/sec:\s+([\d.]+)", said)) else 0.0
    return {
        "p50": number.get(50, float("nan")),
        "p99": number.get(99, float("nan")),
        "rps": rate,
        "answered": total - bad,
        "bad": bad,
        "cpu_us": cpu_s / total * 1e6 if pid and total else float("nan"),
    }


def confined(argv: list[str], n_cores: int | None) -> list[str]:
    """A command on the first `n_cores` cores."""
    return argv if n_cores is None else ["taskset", "-c", f"0-{n_cores - 1}", *argv]


def _ms(text: str) -> float:
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit]


async def streams(url: str, headers: dict[str, str], n: int, *, spread_s: float = 0.0) -> dict[str, float]:
    """n concurrent streams: median time to first byte and the p50 / p99 gap between chunks, in ms.

    Args:
        spread_s: they begin evenly over this time; 0: all in one instant, so that the time to first byte is mostly the
            queue for the processor, the load generator's own work included.
    """
    import aiohttp

    body = json.dumps({**REQUEST, "stream": True}).encode()
    first: list[float] = []
    gaps: list[float] = []

    async def one(session: aiohttp.ClientSession, after_s: float) -> None:
        await asyncio.sleep(after_s)
        began = time.perf_counter()
        async with session.post(
            url, data=body, headers={"content-type": "application/json", **headers}
        ) as answer:
            answer.raise_for_status()
            last = 0.0
            async for chunk in answer.content.iter_any():
                now = time.perf_counter()
                if last:
                    gaps.append((now - last) * 1000)
                elif chunk:
                    first.append((now - began) * 1000)
                last = now

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        done = await asyncio.gather(
            *(one(session, spread_s * i / n) for i in range(n)), return_exceptions=True
        )
    failed = sum(isinstance(d, BaseException) for d in done)
    if not first or not gaps:
        return {"failed": failed}
    gaps.sort()
    return {
        "ttfb_p50": statistics.median(first),
        "gap_p50": statistics.median(gaps),
        "gap_p99": gaps[int(0.99 * (len(gaps) - 1))],
        "failed": failed,
    }


def both_ways(url: str, headers: dict[str, str], n: int) -> dict[str, float]:
    """Streams begun in one instant, and `spread_ttfb_p50`: begun over the second that one of them takes."""
    seen = asyncio.run(streams(url, headers, n))
    return seen | {
        "spread_ttfb_p50": asyncio.run(streams(url, headers, n, spread_s=1.0)).get("ttfb_p50", float("nan"))
    }


STREAM_SERVER = """
import asyncio, sys
FRAMES = [b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"mock","choices":[{"index":0,"delta":{"role":"assistant","content":"word %d "},"finish_reason":null}]}\\n\\n' % i for i in range(20)]
END = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"mock","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\\n\\ndata: [DONE]\\n\\n'
MODELS = b'{"object":"list","data":[{"id":"mock","object":"model","created":1,"owned_by":"bench"}]}'
HEAD = b'HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n'
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b'\\r\\n\\r\\n')
            size = next((int(l.split(b':')[1]) for l in head.lower().split(b'\\r\\n') if l.startswith(b'content-length')), 0)
            await reader.readexactly(size)
            if not head.startswith(b'POST'):
                writer.write(b'HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n%s' % (len(MODELS), MODELS)); continue
            writer.write(HEAD)
            for frame in FRAMES:
                writer.write(b'%x\\r\\n%s\\r\\n' % (len(frame), frame)); await asyncio.sleep(.05)
            writer.write(b'%x\\r\\n%s\\r\\n0\\r\\n\\r\\n' % (len(END), END)); await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]), backlog=1024)
    await server.serve_forever()
asyncio.run(main())
"""
"""A streaming upstream: 20 frames, 50 ms apart."""


def last_line(folder: Path, log: str) -> str:
    """What a gateway said last."""
    said = (folder / f"{log}.log").read_text(errors="replace").strip().splitlines()
    return said[-1].strip()[:200] if said else "it said nothing"


def records_in(home: Path) -> int:
    """Calls in the store of a home, read as a user would."""
    from deputize.home import Home

    store = Home(home).open_store()
    try:
        return store.count()
    finally:
        store.close()


def main() -> None:
    parser = table.arguments(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one round of load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--requests", type=int, default=100_000, help="for the memory figure of ours")
    parser.add_argument("--only", default="", help="part of a peer's name; ours and direct always run")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="bench-gateway-"))
    reply = json.dumps(REPLY).replace("\\", "\\\\")  # nginx unescapes a quoted string once
    body = (
        f"server {{ default_type application/json; listen 127.0.0.1:PORT; location / {{ return 200 '{reply}'; }}"
        f" location = /v1/models {{ return 200 '{json.dumps(MODELS)}'; }} }}"
    )
    upstream_port, stream_port = free_port(), free_port()
    config = nginx_config(folder, upstream_port, body.replace("PORT", str(upstream_port)))
    upstream, stream_upstream = f"http://127.0.0.1:{upstream_port}", f"http://127.0.0.1:{stream_port}"
    script = folder / "streams.py"
    script.write_text(STREAM_SERVER)
    missing: dict[str, str] = {}
    figures: dict[str, dict[str, Any]] = {}
    write_routes(folder / "home")

    with ExitStack() as stack:
        stack.enter_context(
            started(
                Launch(["nginx", "-p", str(folder), "-c", str(config)]), folder, upstream_port, "upstream"
            )
        )
        stack.enter_context(
            started(Launch([sys.executable, str(script), str(stream_port)]), folder, stream_port, "streams")
        )
        targets: dict[str, tuple[str, dict[str, str], int]] = {"direct": (upstream, {}, 0)}
        for peer in (OURS, *([] if options.no_peers else [p for p in PEERS if options.only in p.name])):
            try:
                print(f"preparing {peer.name}", file=sys.stderr, flush=True)
                peer.install()
                port = free_port()
                launch = peer.launch(folder, port, upstream)
                process = stack.enter_context(started(launch, folder, port, peer.name.split()[0]))
                for _ in range(20):  # some answer before their worker does
                    warm = wrk(f"http://127.0.0.1:{port}/v1/chat/completions", launch.headers, 1, 1, folder)
                    if warm["answered"] and not warm["bad"]:
                        break
                else:
                    raise RuntimeError("it refused every request")
                targets[peer.name] = (f"http://127.0.0.1:{port}", launch.headers, process.pid)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                missing[peer.name] = str(error)
        works = {p.name: p.work for p in (OURS, *PEERS)}
        for name, (_, _, pid) in targets.items():
            figures[name] = {
                "gateway": name,
                "work": works.get(name, "-"),
                "rss_mib": tree_rss_mib(pid) if pid else None,
            }
        for n in CONNECTIONS:
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
            for _ in range(options.rounds):
                for name, (base, headers, pid) in targets.items():
                    rounds[name].append(
                        wrk(f"{base}/v1/chat/completions", headers, n, options.seconds, folder, pid=pid)
                    )
                    print(f"  {n:3} connections  {name:24} {rounds[name][-1]}", file=sys.stderr, flush=True)
            for name, figures_seen in rounds.items():
                for key in ("p50", "p99", "rps", "cpu_us"):
                    figures[name][f"{key}_{n}"] = statistics.median(r[key] for r in figures_seen)
                figures[name][f"bad_{n}"] = sum(r["bad"] for r in figures_seen)
        for name, (_, _, pid) in targets.items():
            figures[name]["rss_after_mib"] = tree_rss_mib(pid) if pid else None
            figures[name]["pss_after_mib"] = tree_pss_mib(pid) if pid else None

        if OURS.name in targets:
            figures[OURS.name] |= memory(targets[OURS.name], options.requests, folder)

    scaled = scaling(folder, config, upstream_port, options.seconds, options.rounds)

    with ExitStack() as stack:
        stack.enter_context(
            started(Launch([sys.executable, str(script), str(stream_port)]), folder, stream_port, "streams2")
        )
        for name in list(targets):
            try:
                base, headers = stream_upstream, {}
                if name != "direct":
                    peer = next(p for p in (OURS, *PEERS) if p.name == name)
                    port = free_port()
                    launch = peer.launch(folder, port, stream_upstream)
                    headers = launch.headers
                    log = f"{name.split()[0]}-streams"
                    with started(launch, folder, port, log):
                        base = f"http://127.0.0.1:{port}"
                        for _ in range(20):  # some answer before their worker does
                            if not asyncio.run(streams(f"{base}/v1/chat/completions", headers, 5))["failed"]:
                                break
                        else:
                            raise RuntimeError(f"it fails on streams: {last_line(folder, log)}")
                        seen = both_ways(f"{base}/v1/chat/completions", headers, options.streams)
                else:
                    seen = both_ways(f"{base}/v1/chat/completions", headers, options.streams)
                figures[name] |= {f"stream_{k}": v for k, v in seen.items()}
            except (RuntimeError, OSError) as error:
                missing[f"{name}, streams"] = str(error)

    report(figures, missing, options.streams)
    table.show(
        "Ours with as many workers as cores; gateway, upstream and load generator all confined to these cores",
        scaled,
    )
    table.save(options.json, "gateway", {"figures": figures, "missing": missing, "scaling": scaled})


def memory(target: tuple[str, dict[str, str], int], n_requests: int, folder: Path) -> dict[str, Any]:
    """RSS of ours before and after n requests, and the records found against the answers received."""
    base, headers, pid = target
    before = tree_rss_mib(pid)
    found_before = records_in(folder / "home")
    answered = 0
    deadline = time.monotonic() + 300
    while answered < n_requests and time.monotonic() < deadline:
        answered += int(wrk(f"{base}/v1/chat/completions", headers, 16, 5, folder)["answered"])
    time.sleep(1.0)
    after = tree_rss_mib(pid)
    found = records_in(folder / "home") - found_before
    return {
        "rss_before_load_mib": before,
        "rss_after_load_mib": after,
        "rss_growth": after / before - 1,
        "answered": answered,
        "records_found": found,
        "records_missing": max(0, answered - found),
    }


def scaling(
    folder: Path, config: Path, upstream_port: int, seconds: float, n_rounds: int
) -> list[dict[str, Any]]:
    """Requests/s of ours on 1, 2, 4, ... cores with as many workers. Everything shares these cores, so that the ratio
    is what more cores bring and not what a load generator on cores of its own makes of it."""
    n_all = len(os.sched_getaffinity(0))
    rows: list[dict[str, Any]] = []
    for n in [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= n_all]:
        port = free_port()
        nginx = confined(["nginx", "-p", str(folder), "-c", str(config)], n)
        launch = ours(folder, port, f"http://127.0.0.1:{upstream_port}", n_workers=n)
        with (
            started(Launch(nginx), folder, upstream_port, f"upstream-{n}"),
            started(Launch(confined(launch.argv, n)), folder, port, f"workers-{n}") as process,
        ):
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            wrk(url, {}, 16 * n, 3, folder, n_cores=n)
            seen = [
                wrk(url, {}, 16 * n, seconds, folder, pid=process.pid, n_cores=n) for _ in range(n_rounds)
            ]
        rate = statistics.median(s["rps"] for s in seen)
        rows.append(
            {
                "cores": n,
                "workers": n,
                "req/s": rate,
                "x one": rate / rows[0]["req/s"] if rows else 1.0,
                "cpu us/request": statistics.median(s["cpu_us"] for s in seen),
                "bad": sum(s["bad"] for s in seen),
            }
        )
    return rows


def report(figures: dict[str, dict[str, Any]], missing: dict[str, str], n_streams: int) -> None:
    """Prints the tables: absolute figures, and ours as a ratio to each peer."""
    direct = figures["direct"]
    rows = []
    for name, f in figures.items():
        row: dict[str, Any] = {"gateway": name, "work per request": f["work"]}
        for n in CONNECTIONS:
            row[f"+p50 ms @{n}"] = f[f"p50_{n}"] - direct[f"p50_{n}"] if name != "direct" else None
            row[f"+p99 ms @{n}"] = f[f"p99_{n}"] - direct[f"p99_{n}"] if name != "direct" else None
            row[f"req/s @{n}"] = f[f"rps_{n}"]
        row["cpu us/request @16"] = f.get("cpu_us_16")
        row["RSS MiB"] = f.get("rss_after_mib")
        row["PSS MiB"] = f.get("pss_after_mib")
        rows.append(row)
    table.show("Added latency and throughput (loopback, 1.9 KB request with tools)", rows)
    mine = figures.get(OURS.name)
    if mine:
        table.show(
            "Ours against each peer (ratio of requests/s, above 1: ours is faster; of processor time, below 1: ours is cheaper)",
            [
                {
                    "peer": name,
                    **{
                        f"@{n}": mine[f"rps_{n}"] / f[f"rps_{n}"] if f[f"rps_{n}"] else None
                        for n in CONNECTIONS
                    },
                    "cpu @16": mine["cpu_us_16"] / f["cpu_us_16"] if f.get("cpu_us_16") else None,
                }
                for name, f in figures.items()
                if f is not mine
            ],
        )
    table.show(
        f"{n_streams} concurrent streams, 20 chunks 50 ms apart",
        [
            {
                "gateway": name,
                "TTFB p50 ms, one instant": f.get("stream_ttfb_p50"),
                "TTFB p50 ms, over 1 s": f.get("stream_spread_ttfb_p50"),
                "chunk gap p50 ms": f.get("stream_gap_p50"),
                "chunk gap p99 ms": f.get("stream_gap_p99"),
                "failed": f.get("stream_failed"),
            }
            for name, f in figures.items()
        ],
    )
    if mine and "records_found" in mine:
        keys = (
            "answered",
            "records_found",
            "records_missing",
            "rss_before_load_mib",
            "rss_after_load_mib",
            "rss_growth",
        )
        table.show("Ours after the long load", [{k: mine[k] for k in keys}])
    for name, why in missing.items():
        print(f"not measured: {name}: {why}")


if __name__ == "__main__":
    main()
