"""Strict calls a second into a store, by two writers: `python -m benchmarks.store_rate --seconds 10`.

Each writer is a process with a home and a journal of its own, as a gateway's worker is: `record` returns when a call
is in the journal, and a process of its own moves calls from there into the store. A rate is the calls of all writers
by the time until the last one is in the store. Calls are of 2 kB, a hundred people, ten agents. PostgreSQL is a
cluster in a temporary folder, with fsync, on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.postgres_cluster import Cluster, bin_path

from benchmarks import table
from deputize.core.records import Call
from deputize.home import Home
from deputize.store.recording.journal_writer import JournalWriter
from deputize.store.recording.recorder import Recorder

WRITERS = 2
TEXT = "The parcel of order 4711 has not come; the customer asks for a refund. " * 26


def call(name: str, number: int) -> Call:
    """A call of some 2 kB."""
    return Call(
        id=f"{name}-{number}",
        agent=f"agent-{number % 10}",
        origin=f"o_{number % 100}",
        timestamp=time.time(),
        messages=[{"role": "user", "content": TEXT}],
        response={"role": "assistant", "content": "refund"},
    )


async def write(home: Path, seconds: float) -> dict[str, float]:
    """One writer: calls for so many seconds, then until all of them are in the store."""
    journal_writer = JournalWriter.start(Home(home).writer_target)
    with Home(home) as opened:
        store = opened.open_store_for_writing()
        recorder = Recorder(store, opened.keyring, home, journal_writer=journal_writer).start()
        began, number = time.time(), 0
        while time.time() - began < seconds:
            await recorder.record(call(home.name, number))
            number += 1
            if number % 16 == 0:
                await asyncio.sleep(0)
        recorded = time.time()
        drained = await recorder.drain(600)
        ended = time.time()
        await recorder.close()
        store.close()
    if not drained:
        raise SystemExit("the calls did not reach the store")
    return {"n": number, "began": began, "recorded": recorded, "ended": ended}


def measured(kind: str, config: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Two writers at once: on one home where the store lies in it, else on a home each."""
    homes = [folder / f"{kind}-{n}" for n in range(WRITERS)]
    homes[0].mkdir(parents=True)
    (homes[0] / "config.toml").write_text(config)
    with Home(homes[0]) as first:
        first.store.count()
    for home in homes[1:]:
        if kind == "sqlite":
            home.symlink_to(homes[0])
        else:
            shutil.copytree(homes[0], home)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.store_rate", "--writer", str(home), "--seconds", str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for home in homes
    ]
    told = [json.loads(process.communicate()[0]) for process in running]
    n_calls = sum(one["n"] for one in told)
    began, ended = min(one["began"] for one in told), max(one["ended"] for one in told)
    with Home(homes[0]) as opened:
        n_kept = opened.store.count()
    if n_kept != n_calls:
        raise SystemExit(f"{kind}: {n_calls} calls were recorded and {n_kept} are in the store")
    return {
        "store": kind,
        "calls": n_calls,
        "recorded_per_s": n_calls / (max(one["recorded"] for one in told) - began),
        "in_store_per_s": n_calls / (ended - began),
    }


def main() -> None:
    """Measures both stores and prints a table."""
    parser = table.arguments((__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of recording, for each store")
    parser.add_argument(
        "--writer", type=Path, help="be one writer on this home (used by the benchmark itself)"
    )
    given = parser.parse_args()
    if given.writer is not None:
        print(json.dumps(asyncio.run(write(given.writer, given.seconds))))
        return
    found = bin_path()
    if found is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql-15")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = Cluster(found, fsync="on")
        stack.callback(cluster.remove)
        config = f'[store]\nkind = "postgres"\n[store.options]\nurl = "{cluster.url()}"\n'
        rows = [
            measured("sqlite", "", folder, given.seconds),
            measured("postgres", config, folder, given.seconds),
        ]
    table.show(f"strict calls of 2 kB by {WRITERS} writers", rows)
    table.save(given.json, "store_rate", {"rows": rows})


if __name__ == "__main__":
    main()
