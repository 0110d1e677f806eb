"""Two gateways with two workers each on one PostgreSQL for long, with everything that changes: `python -m
benchmarks.soak --minutes 30`.

Each gateway is `deputize serve` on a home of its own; the homes share calls (PostgreSQL) and routes, API keys and a
linear specialist (a folder). Clients ask without a pause. Meanwhile, one after the other: the route is closed and
promoted on alternate homes, the API key of all clients is changed and the old one revoked, a person's calls are
erased, the wrapping key is rotated, PostgreSQL is killed, the LLM goes away.

Counted: answered calls that are not in the store at the end (lost), calls of erased people that are (not erased),
answers by the specialist to requests that were sent more than two seconds after `route close` had returned (late),
answers to a revoked key likewise, and the memory of each gateway's processes over time, of each by itself as well.
With --pause clients ask slowly, so that it can run beside other work. With --compare, calls a second and p99 beside
one gateway come first; client, upstream, server and gateways share the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from msgspec import structs
from tests import tiny_specialist, tiny_tasks
from tests.integration.gateway.specialists import route_for
from tests.postgres_cluster import Cluster, bin_path

from benchmarks import table
from benchmarks.gateway_scenarios import UPSTREAM
from benchmarks.peers import free_port
from deputize.core.records import Request
from deputize.home import Home
from deputize.operations.route_changes import close_route, promote_route
from deputize.routes_file import write_routes
from deputize.specialists.specialist_card import CARD, digest_of

LATE_S = 2.0
CLIENTS = 4
"""For each gateway."""
WORKERS = 2
SPECIALIST = "runs/0001/specialists/t1-linear"
OUTAGE_S = 2.0
REPLY = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "no"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
)


class Served:
    """`deputize serve` on a home."""

    def __init__(self, home: Path, upstream: int, workers: int) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "deputize.cli.main", "--home", str(home), "serve", "--quiet"]
        command += ["--upstream", f"http://127.0.0.1:{upstream}/v1", "--port", str(self.port)]
        command += ["--workers", str(workers)]
        with (home / "serve.out").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    async def ready(self) -> None:
        """Waits until it answers."""
        async with aiohttp.ClientSession() as client:
            for _ in range(1200):
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"{self.url}/healthz") as reply:
                        if reply.status == 200:
                            return
                await asyncio.sleep(0.1)
        raise SystemExit(f"no gateway: see {self.home / 'serve.out'}")

    def memory_mb(self) -> dict[str, float]:
        """Proportional memory of its processes ("all"), and the memory that each has for itself alone, by pid and
        place in the tree."""
        found = {"all": 0.0}
        top = psutil.Process(self.process.pid)
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory, parent = process.memory_full_info(), process.ppid()
                found["all"] += memory.pss / 1e6
                place = "first" if process == top else "below" if parent == top.pid else "below that"
                found[f"{place} {process.pid}"] = memory.uss / 1e6
        return found

    def stop(self) -> None:
        """Stops it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Upstream:
    """An LLM that answers at once, and can be away."""

    def __init__(self, reply: str = REPLY) -> None:
        self.port, self._reply = free_port(), reply
        self.start()

    def start(self) -> None:
        """Listens."""
        self._process = subprocess.Popen([sys.executable, "-c", UPSTREAM, str(self.port), self._reply])

    def stop(self) -> None:
        """Refuses connections from now on."""
        self._process.kill()
        self._process.wait()


class Seen:
    """What clients have seen."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.ms: list[float] = []
        self.by: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.n_late = self.n_late_keys = 0
        self.slowest_close_s = self.slowest_revoke_s = 0.0
        self.closed_at = float("inf")
        self.key = ""
        self.revoked: dict[str, float] = {}
        """Key -> when `revoke` had returned."""

    def note(self, text: str, key: str, began: float, status: int, by: str) -> None:
        """One reply."""
        self.ms.append(1e3 * (time.monotonic() - began))
        if status != 200:
            self.others[f"{status}"] += 1
            return
        self.answered.add(text)
        self.by[by] += 1
        if by == "slm" and began > self.closed_at:
            self.slowest_close_s = max(self.slowest_close_s, began - self.closed_at)
            self.n_late += began - self.closed_at > LATE_S
        revoked_at = self.revoked.get(key, float("inf"))
        if began > revoked_at:
            self.slowest_revoke_s = max(self.slowest_revoke_s, began - revoked_at)
            self.n_late_keys += began - revoked_at > LATE_S


async def ask(client: aiohttp.ClientSession, url: str, text: str, origin: str, seen: Seen, key: str) -> None:
    """One call, noted."""
    headers = {"authorization": "Bearer sk", "x-deputize-key": key, "x-deputize-origin": origin}
    messages = [*request(text).messages]
    began = time.monotonic()
    try:
        async with client.post(
            f"{url}/v1/chat/completions", json={"model": "m", "messages": messages}, headers=headers
        ) as reply:
            await reply.read()
            seen.note(text, key, began, reply.status, reply.headers.get("x-deputize-served-by", ""))
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.others[type(error).__name__] += 1
        await asyncio.sleep(0.05)


def request(text: str) -> Request:
    """A request of the task that the specialist was trained for."""
    found = tiny_tasks.example("label", 500, "test").request
    return structs.replace(found, messages=[*found.messages[:1], {"role": "user", "content": text}])


async def keep_asking(
    url: str, name: str, seen: Seen, until: Callable[[], bool], pause_s: float = 0.0
) -> None:
    """A client: one call after the other."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        number = 0
        while not until():
            number += 1
            text = f"where is my parcel for LH-{name}-{number}\nmail: none"
            await ask(client, url, text, f"person-{number % 50}", seen, seen.key)
            await asyncio.sleep(pause_s)


async def probe_revoked(url: str, seen: Seen, until: Callable[[], bool], pause_s: float) -> None:
    """Asks with the key that was revoked last, to see when it stops opening."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
        number = 0
        while not until():
            await asyncio.sleep(max(0.05, pause_s))
            if seen.revoked:
                number += 1
                key = list(seen.revoked)[-1]
                await ask(client, url, f"with a revoked key {url} {number}", "prober", seen, key)


class Disturbances:
    """What happens to the gateways, one thing after the other."""

    def __init__(
        self, homes: list[Path], cluster: Cluster, upstream: Upstream, seen: Seen, between_s: float
    ) -> None:
        self._homes, self._cluster, self._upstream, self._seen = homes, cluster, upstream, seen
        self._between_s = between_s
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.erased: dict[str, set[str]] = {}
        self._key_id = ""

    async def run(self, urls: list[str], until: Callable[[], bool]) -> None:
        """Goes on until it is time."""
        steps = (
            ("route closed", self._close),
            ("route promoted", self._promote),
            ("API key changed", self.change_key),
            ("erasure", self._erase),
            ("server killed", self._kill_server),
            ("route closed", self._close),
            ("LLM away", self._outage),
            ("route promoted", self._promote),
            ("keys rotated", self._rotate),
        )
        turn = 0
        while not until():
            name, step = steps[turn % len(steps)]
            home = self._homes[turn % len(self._homes)]
            try:
                await step(home, urls)
                self.done[name] += 1
            except (Exception, SystemExit) as error:  # noqa: BLE001 - counted and shown; the soak goes on
                self.failed[f"{name}: {error}"[:200]] += 1
            turn += 1
            await asyncio.sleep(self._between_s)
        self._seen.closed_at = float("inf")

    async def _close(self, home: Path, urls: list[str]) -> None:
        def work() -> None:
            opened = Home(home)
            close_route(opened, opened.routes().routes[0])

        await asyncio.to_thread(work)
        self._seen.closed_at = time.monotonic()

    async def _promote(self, home: Path, urls: list[str]) -> None:
        self._seen.closed_at = float("inf")

        def work() -> None:
            opened = Home(home)
            promote_route(opened, opened.routes().routes[0], "live")

        await asyncio.to_thread(work)

    async def change_key(self, home: Path, urls: list[str]) -> None:
        """A new key for all clients; the old one is revoked."""
        keys = Home(home).api_keys
        made = await asyncio.to_thread(keys.create, "ingest")
        if self._key_id:
            await asyncio.sleep(LATE_S)  # until every gateway knows the new one
        before, self._seen.key = (self._key_id, self._seen.key), made.text
        self._key_id = made.key.id
        if before[0]:
            await asyncio.sleep(1)
            await asyncio.to_thread(keys.revoke, before[0])
            self._seen.revoked[before[1]] = time.monotonic()

    async def _erase(self, home: Path, urls: list[str]) -> None:
        person = f"victim-{len(self.erased)}"
        texts = {f"{person} asks {n}" for n in range(6)}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
            for n, text in enumerate(sorted(texts)):
                await ask(client, urls[n % len(urls)], text, person, self._seen, self._seen.key)
        self.erased[person] = texts
        await self._command(home, "erase", "--origin", person)

    async def _rotate(self, home: Path, urls: list[str]) -> None:
        await self._command(home, "keys", "rotate")

    async def _command(self, home: Path, *words: str) -> None:
        """A command that changes the wrapping key; the other homes get the keys as the guide says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deputize.cli.main", "--home", str(home), *words),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        for other in self._homes:
            if other != home:
                for file in (home / "keys").iterdir():
                    if file.name != "api_keys.json" and file.is_file() and file.suffix != ".lock":
                        shutil.copy2(file, other / "keys" / f".{file.name}.new")
                        (other / "keys" / f".{file.name}.new").replace(other / "keys" / file.name)
        if process.returncode:
            raise SystemExit(said.decode(errors="replace").strip().splitlines()[-1])

    async def _kill_server(self, home: Path, urls: list[str]) -> None:
        await asyncio.to_thread(self._cluster.kill)
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(self._cluster.start)

    async def _outage(self, home: Path, urls: list[str]) -> None:
        self._upstream.stop()
        await asyncio.sleep(OUTAGE_S)
        self._upstream.start()


def made_homes(folder: Path, cluster: Cluster) -> list[Path]:
    """Two homes with the same keys, store and object store; the first has published a route with a linear specialist."""
    homes = [folder / "home-0", folder / "home-1"]
    settings = (
        f'[objects]\nurl = "file://{folder}/shared"\n[gateway]\naudit_share = 0.0\n'
        f'[store]\nkind = "postgres"\n[store.options]\nurl = "{cluster.url()}"\n'
    )
    for home in homes:
        home.mkdir()
        (home / "config.toml").write_text(settings)
    with Home(homes[0]) as first:
        first.store.count()
        shutil.copytree(first.keys_path, homes[1] / "keys")
        tiny_specialist.make((folder / "models", "none"), homes[0] / SPECIALIST, "linear", "label")
        file = route_for(request("x"), tiny_tasks.CONTRACTS["label"], threshold=0.0)
        card = digest_of(homes[0] / SPECIALIST / CARD)
        routes = [structs.replace(r, specialist=SPECIALIST, card_sha256=card) for r in file.routes]
        write_routes(first.routes_path, structs.replace(file, routes=routes), first.routes_seal)
    return homes


async def warm(gateways: list[Served], key: str) -> None:
    """Asks until every gateway has answered by its specialist."""
    for one in gateways:
        seen = Seen()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
            for number in range(600):
                await ask(client, one.url, f"warm {one.port} {number}", "warm", seen, key)
                if seen.by["slm"] >= 10 * WORKERS:
                    break
                await asyncio.sleep(0.1)
            else:
                raise SystemExit(f"no answer by a specialist: {dict(seen.by)}, {dict(seen.others)}")


def slope_mb_a_minute(samples: list[tuple[float, float]]) -> float:
    """Of (seconds, MB), over the last two thirds."""
    kept = np.array(samples[len(samples) // 3 :])
    return float(np.polyfit(kept[:, 0] / 60, kept[:, 1], 1)[0]) if len(kept) > 2 else float("nan")


def memory_row(samples: list[tuple[float, float]]) -> list[float]:
    """First, middle and last, and the slope."""
    megabytes = [samples[n][1] for n in (0, len(samples) // 2, -1)]
    return [*(round(mb, 1) for mb in megabytes), round(slope_mb_a_minute(samples), 2)]


async def compared(homes: list[Path], upstream: Upstream, seconds: float) -> dict[str, Any]:
    """Calls a second and p99 of one gateway and of two, with the same clients a gateway; routes open."""
    found: dict[str, Any] = {}
    for n in (1, 2):
        gateways = [Served(home, upstream.port, WORKERS) for home in homes[:n]]
        await asyncio.gather(*(one.ready() for one in gateways))
        await warm(gateways, "")
        seen, ends = Seen(), time.monotonic() + seconds
        clients = [
            keep_asking(g.url, f"{n}c{i}{k}", seen, lambda: time.monotonic() > ends)  # noqa: B023
            for k, g in enumerate(gateways)
            for i in range(CLIENTS * 2 // n)
        ]
        await asyncio.gather(*clients)
        found[f"{n} x {WORKERS}"] = {
            "calls/s": len(seen.answered) / seconds,
            "p50 ms": float(np.percentile(seen.ms, 50)),
            "p99 ms": float(np.percentile(seen.ms, 99)),
            "others": dict(seen.others),
        }
        for one in gateways:
            await asyncio.to_thread(one.stop)
    return found


async def soak(
    homes: list[Path],
    cluster: Cluster,
    upstream: Upstream,
    minutes: float,
    *,
    pause_s: float,
    between_s: float,
) -> dict[str, Any]:
    """The soak itself; the figures, without those of the store.

    Args:
        homes: of the gateways.
        cluster: the store.
        upstream: the LLM.
        minutes: how long.
        pause_s: of a client between two calls.
        between_s: between two disturbances.
    """
    seen, began = Seen(), time.monotonic()
    disturbances = Disturbances(homes, cluster, upstream, seen, between_s)
    await disturbances.change_key(homes[0], [])
    gateways = [Served(home, upstream.port, WORKERS) for home in homes]
    await asyncio.gather(*(one.ready() for one in gateways))
    await warm(gateways, seen.key)
    ends = time.monotonic() + 60 * minutes
    memory: list[dict[str, list[tuple[float, float]]]] = [{} for _ in gateways]

    def is_over() -> bool:
        return time.monotonic() > ends

    async def sample() -> None:
        while not is_over():
            for n, one in enumerate(gateways):
                for process, mb in (await asyncio.to_thread(one.memory_mb)).items():
                    memory[n].setdefault(process, []).append((time.monotonic() - began, mb))
            await asyncio.sleep(5)

    urls = [one.url for one in gateways]
    await asyncio.gather(
        sample(),
        disturbances.run(urls, is_over),
        *(probe_revoked(url, seen, is_over, pause_s) for url in urls),
        *(
            keep_asking(u, f"{k}x{i}", seen, is_over, pause_s)
            for k, u in enumerate(urls)
            for i in range(CLIENTS)
        ),
    )
    for one in gateways:
        await asyncio.to_thread(one.stop)
    return {
        "minutes": minutes,
        "answered": len(seen.answered),
        "served by": dict(seen.by),
        "not answered": dict(seen.others),
        "done": dict(disturbances.done),
        "failed": dict(disturbances.failed),
        "late answers of a closed route": seen.n_late,
        "slowest seen after a close, s": round(seen.slowest_close_s, 2),
        "late answers to a revoked key": seen.n_late_keys,
        "slowest seen after a revocation, s": round(seen.slowest_revoke_s, 2),
        "memory MB first, middle, last; slope MB/min": [
            {process: memory_row(samples) for process, samples in one.items()} for one in memory
        ],
        "texts": (seen.answered, disturbances.erased),
    }


def counted(homes: list[Path], found: dict[str, Any]) -> dict[str, Any]:
    """The figures with what the store says."""
    answered, erased = found.pop("texts")
    kept: set[str] = set()
    for home in homes:
        with Home(home) as opened:
            kept |= {str(call.messages[-1]["content"]) for call in opened.store.calls()}
    victims = set().union(*erased.values()) if erased else set()
    return {
        **found,
        "lost": len(answered - kept - victims),
        "not erased": len(victims & kept),
        "people erased": len(erased),
    }


def main() -> None:
    parser = table.arguments(__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--compare", type=float, default=0.0, help="seconds of each comparison first")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds of a client between two calls")
    parser.add_argument("--between", type=float, default=3.0, help="seconds between two disturbances")
    args = parser.parse_args()
    programs = bin_path()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql-15")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        cluster = Cluster(programs, fsync="on")
        stack.callback(cluster.remove)
        upstream = Upstream()
        stack.callback(upstream.stop)
        homes = made_homes(folder, cluster)
        results: dict[str, Any] = {}
        if args.compare:
            results["throughput"] = asyncio.run(compared(homes, upstream, args.compare))
        results["soak"] = counted(
            homes,
            asyncio.run(
                soak(homes, cluster, upstream, args.minutes, pause_s=args.pause, between_s=args.between)
            ),
        )
    print(json.dumps(results, indent=1))
    if args.json:
        args.json.write_text(json.dumps({"machine": table.machine(), **results}, indent=1))


if __name__ == "__main__":
    main()
