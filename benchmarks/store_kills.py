"""Two hundred kills of gateway, mover or server, and what is lost: `python -m benchmarks.store_kills --json OUT`.

Two gateways (`deputize serve`, one worker each) on one PostgreSQL with fsync; four clients ask them. Meanwhile kill
-9 takes a whole gateway with all its processes, the process that moves a worker's calls into the store, or the server
with all its sessions, in an order that is drawn; what was killed is started again. Counted at the end: calls whose
answer had come and that are not in the store (lost), and calls that are there twice. A power cut is not in it. Some
15 minutes at the default pauses, a third of a core.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.integration.gateway.test_gateway_shared_store import shared_homes
from tests.integration.gateway.test_gateway_store_kills import killed_at_random
from tests.integration.gateway.upstream import completion
from tests.postgres_cluster import Cluster, bin_path

from benchmarks import table
from benchmarks.soak import Upstream


def main() -> None:
    parser = table.arguments((__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--least", type=float, default=0.2, help="seconds between two kills")
    parser.add_argument("--most", type=float, default=4.0, help="seconds between two kills")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds of a client between two calls")
    given = parser.parse_args()
    programs = bin_path()
    if programs is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql-15")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="store-kills-")))
        cluster = Cluster(programs, fsync="on")
        stack.callback(cluster.remove)
        upstream = Upstream(completion("yes").body.decode())
        stack.callback(upstream.stop)
        homes = shared_homes(folder, 2, cluster.url())
        began = time.monotonic()
        found = asyncio.run(
            killed_at_random(
                homes,
                f"http://127.0.0.1:{upstream.port}/v1",
                cluster,
                given.kills,
                random.Random(given.seed),
                between_s=(given.least, given.most),
                pause_s=given.pause,
            )
        )
    result = {
        "killed": found.killed,
        "answered": len(found.answered),
        "kept": len(found.kept),
        "lost": len(found.answered - set(found.kept)),
        "twice": len(found.kept) - len(set(found.kept)),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    print(json.dumps(result))
    table.save(given.json, "store_kills", result)


if __name__ == "__main__":
    main()
