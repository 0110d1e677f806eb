"""Strict calls a second through two gateways into one store: `python -m benchmarks.shared_store_rate --json OUT`.

Two `deputize serve` (a worker each) over HTTP, strict durability, encryption and routing on, for each kind of store:
PostgreSQL (a cluster in a temporary folder, with fsync, a home for each gateway) and SQLite (both gateways on one
home). A loopback nginx plays the LLM, one wrk for each gateway sends a 1.9 KB chat request with tools; rounds of the
two kinds alternate. A rate is answered calls by time; `in_store_per_s` by the time until the last of them is in the
store. `lost` counts answered calls that are not there then. Everything shares the machine: load generators, LLM and
server take their part of the cores. Needs Debian's nginx-light, wrk and postgresql-15. Two to three minutes.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.postgres_cluster import Cluster, bin_path

from benchmarks import table
from benchmarks.gateway import REPLY, ours, write_routes, wrk
from benchmarks.peers import Launch, free_port, nginx_config, started, tree_cpu_s
from deputize.home import Home

GATEWAYS = 2
DRAIN_S = 60.0
LOOK_S = 0.2


class Kind:
    """The gateways of one kind of store."""

    def __init__(self, name: str, folder: Path, config: str) -> None:
        """`config` "": one home for all gateways, else a home of each with the same keys."""
        self.name, self.folders = name, [folder / f"{name}-{n}" for n in range(GATEWAYS)]
        first = self.folders[0] / "home"
        first.mkdir(parents=True)
        (first / "config.toml").write_text(config)
        write_routes(first)
        with Home(first) as home:
            home.store.count()
        for other in self.folders[1:]:
            other.mkdir()
            if config:
                shutil.copytree(first, other / "home")
            else:
                (other / "home").symlink_to(first)
        self.rounds: list[dict[str, float]] = []
        self.answered = 0

    def start(self, stack: ExitStack, upstream: str) -> None:
        """Starts the gateways and waits until each has answered."""
        self.urls: list[str] = []
        self.pids: list[int] = []
        for folder in self.folders:
            port = free_port()
            process = stack.enter_context(started(ours(folder, port, upstream), folder, port, "gateway"))
            self.urls.append(f"http://127.0.0.1:{port}/v1/chat/completions")
            self.pids.append(process.pid)
        self.answered += int(self._load(1, 1.0)["answered"])
        self.wait_for_store()

    def _load(self, connections: int, seconds: float) -> dict[str, float]:
        cpu_s = sum(map(tree_cpu_s, self.pids))
        with ThreadPoolExecutor() as threads:
            found = list(
                threads.map(
                    lambda n: wrk(self.urls[n], {}, connections, seconds, self.folders[n]), range(GATEWAYS)
                )
            )
        cpu_s = sum(map(tree_cpu_s, self.pids)) - cpu_s
        answered = sum(one["answered"] for one in found)
        return {
            "rps": sum(one["rps"] for one in found),
            "answered": answered,
            "bad": sum(one["bad"] for one in found),
            "p50": max(one["p50"] for one in found),
            "p99": max(one["p99"] for one in found),
            "cpu_us": 1e6 * cpu_s / max(1.0, answered),
        }

    def n_kept(self) -> int:
        """Calls in the store."""
        with Home(self.folders[0] / "home") as home:
            return home.open_store_for_writing().count()

    def wait_for_store(self) -> int:
        """Waits until the store has what was answered; how much is missing."""
        until = time.monotonic() + DRAIN_S
        while (missing := self.answered - self.n_kept()) > 0 and time.monotonic() < until:
            time.sleep(LOOK_S)
        return max(0, missing)

    def round(self, connections: int, seconds: float) -> None:
        """One round of load, then until all of it is in the store."""
        began = time.monotonic()
        found = self._load(connections, seconds)
        self.answered += int(found["answered"])
        found["lost"] = self.wait_for_store()
        found["in_store_per_s"] = found["answered"] / (time.monotonic() - began)
        self.rounds.append(found)
        print(f"  {self.name:10} {found}", file=sys.stderr, flush=True)

    def row(self) -> dict[str, Any]:
        """The medians of all rounds."""
        names = ("rps", "in_store_per_s", "p50", "p99", "cpu_us")
        middle = {name: statistics.median(one[name] for one in self.rounds) for name in names}
        sums = {name: int(sum(one[name] for one in self.rounds)) for name in ("answered", "bad")}
        return {"store": self.name, **middle, **sums, "lost": int(self.rounds[-1]["lost"])}


def main() -> None:
    parser = table.arguments((__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of one round of load")
    parser.add_argument("--rounds", type=int, default=4, help="for each store")
    parser.add_argument("--connections", type=int, default=16, help="to each gateway")
    given = parser.parse_args()
    programs = bin_path()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql-15")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="store-rate-")))
        cluster = Cluster(programs, fsync="on")
        stack.callback(cluster.remove)
        reply, port = json.dumps(REPLY).replace("\\", "\\\\"), free_port()
        body = f"server {{ default_type application/json; listen 127.0.0.1:{port}; location / {{ return 200 '{reply}'; }} }}"
        config = nginx_config(folder, port, body)
        nginx = Launch(["nginx", "-p", str(folder), "-c", str(config)])
        stack.enter_context(started(nginx, folder, port, "upstream"))
        postgres = f'[store]\nkind = "postgres"\n[store.options]\nurl = "{cluster.url()}"\n'
        kinds = [Kind("postgres", folder, postgres), Kind("sqlite", folder, "")]
        for kind in kinds:
            kind.start(stack, f"http://127.0.0.1:{port}")
        for _ in range(given.rounds):
            for kind in kinds:
                kind.round(given.connections, given.seconds)
        rows = [kind.row() for kind in kinds]
    table.show(f"strict calls through {GATEWAYS} gateways, {given.connections} connections to each", rows)
    table.save(given.json, "shared_store_rate", {"rows": rows, "rounds": {k.name: k.rounds for k in kinds}})


if __name__ == "__main__":
    main()
