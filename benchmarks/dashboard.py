"""The live page over a home with many calls: `python -m benchmarks.dashboard`.

Makes a home with 100,000 calls (texts of about 1,200 characters, from a seed), reads it as `deputize dashboard` does,
and measures
reading, memory, and each page: the time of the request as a whole, template and store included, without the network.
"""

from __future__ import annotations

import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import arguments, save, show
from deputize.core.records import Call, Certificate, Contract, Decision, Route, RouteFile, Usage
from deputize.dashboard.call_reader import CallReader
from deputize.dashboard.pages import Pages
from deputize.home import Home
from deputize.routes_file import write_routes
from deputize.store.access.roles import owner
from deputize.web.sessions import Sessions
from deputize.web.sign_in import LaunchLink

SITES = ("triage", "policy check", "copy the case data", "next action", "write the case line")
BATCH = 2000
ROUNDS = 30
PATHS = (
    "/",
    "/routes/route-0",
    "/calls",
    "/calls?route=route-3",
    "/calls/c500",
    "/tasks",
    "/runs",
    "/audits",
)


def some_calls(n: int, now_s: float) -> Iterator[Call]:
    """Calls over thirty days, 70 % of them served, one served call in fifty audited, one audit in twenty different."""
    rng = random.Random(0)
    words = [f"word{i}" for i in range(2000)]
    for i in range(n):
        at, site = now_s - 30 * 86400 * (1 - i / n), SITES[i % len(SITES)]
        system = f"You are step {site} of a help desk.\nRules: {' '.join(words[:40])}"
        user = " ".join(rng.choices(words, k=90))
        is_served = rng.random() < 0.7
        decision = Decision(
            served_by="slm" if is_served else "llm",
            reason="live" if is_served else "below_threshold",
            route_id=f"route-{i % len(SITES)}",
            specialist="runs/x",
            specialist_ms=2.0,
            confidence=rng.random(),
        )
        common: dict[str, Any] = {"agent": "desk", "site": site, "model": "gpt-4o", "episode": f"e{i // 5}"}
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        usage = Usage(prompt_tokens=400, completion_tokens=12)
        reply = {"role": "assistant", "content": rng.choice(("refund", "complaint", "other"))}
        yield Call(
            id=f"c{i}",
            messages=messages,
            response=reply,
            timestamp=at,
            usage=usage,
            latency_ms=3.0,
            decision=decision,
            **common,
        )
        if is_served and i % 50 == 0:
            audit = Decision(
                reason="audit",
                route_id=decision.route_id,
                audit_of=f"c{i}",
                shadow_agrees=i % 1000 != 0,
                specialist="runs/x",
            )
            yield Call(
                id=f"c{i}-audit",
                messages=messages,
                response=reply,
                timestamp=at + 1,
                usage=usage,
                decision=audit,
                **common,
            )


def make_home(home: Home, n: int) -> None:
    """Fills the store and writes five routes."""
    batch: list[Call] = []
    for call in some_calls(n, home.now()):
        batch.append(call)
        if len(batch) == BATCH:
            home.store.append(batch)
            batch = []
    home.store.append(batch)
    certificate = Certificate(
        id="c",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=200,
        threshold=0.9,
        share_served=0.7,
        p_value=0.01,
        claim="as claimed",
        created_s=home.now(),
    )
    routes = [
        Route(
            id=f"route-{i}",
            task_id=f"t{i}",
            task_name=site,
            keys=[str(i)],
            contract=Contract(kind="label"),
            specialist="runs/x",
            threshold=0.9,
            state="live",
            certificate=certificate,
        )
        for i, site in enumerate(SITES)
    ]
    write_routes(home.routes_path, RouteFile(run_id="0001", routes=routes), home.routes_seal)


def memory_mb() -> float:
    """The most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(n: int) -> list[dict[str, Any]]:
    """Seconds and megabytes of the reading, then milliseconds of each page."""
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder)) as home:
        make_home(home, n)
        before_mb, began = memory_mb(), time.perf_counter()
        reader = CallReader(home)
        reader.start()
        pages = Pages(home, reader, LaunchLink("link", owner(), Sessions(bytes(32), time.time)), cookie="c")
        headers = {"host": "127.0.0.1"}
        begun = dict(pages.answer("GET", "/?token=link", headers, b"").headers)["set-cookie"]
        headers["cookie"] = begun.partition(";")[0]

        def asked_ms(path: str) -> float:
            at = time.perf_counter()
            assert pages.answer("GET", path, headers, b"").status == 200, path
            return 1000 * (time.perf_counter() - at)

        def asked_until(done: Callable[[], bool]) -> tuple[float, dict[str, float]]:
            """Seconds since the start, and the times of the first page, asked twice a second meanwhile."""
            took: list[float] = []
            while not done():
                took.append(asked_ms("/"))
                time.sleep(0.5)
            return time.perf_counter() - began, spread(took)

        read_s, while_read = asked_until(lambda: reader.is_ready)
        counted_s, while_counted = asked_until(lambda: reader.counts is not None)
        more_mb = memory_mb() - before_mb
        rows: list[dict[str, Any]] = [{"page": "/ while the calls are read", **while_read}]
        rows.append({"page": "/ while sites are counted", **while_counted})
        rows += [{"page": path, **spread([asked_ms(path) for _ in range(ROUNDS)])} for path in PATHS]
        reader.stop()
        pages.close()
        print(
            f"{n:,} calls and their audits read in {read_s:.1f} s, their sites counted at {counted_s:.1f} s, with at most"
            f" {more_mb:.0f} MB more memory"
        )
        return rows


def spread(values: list[float]) -> dict[str, float]:
    """Median and greatest, milliseconds."""
    ordered = sorted(values)
    return {"median_ms": round(ordered[len(ordered) // 2], 1), "most_ms": round(ordered[-1], 1)}


def main() -> None:
    parser = arguments("Time of each page over a home with many calls.")
    parser.add_argument("--calls", type=int, default=100_000)
    given = parser.parse_args()
    rows = measured(given.calls)
    show(f"pages over {given.calls:,} calls", rows)
    save(given.json, "dashboard", {"rows": rows})


if __name__ == "__main__":
    main()
