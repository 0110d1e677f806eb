"""The same over S3: moto's server, two gateways, a server that goes away, kill -9 in the middle of publishing.

s3fs and boto3 (of the extra "kms") ask for different versions of botocore, so these run by another interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import structs
from tests.integration.gateway.specialists import publish, route_for
from tests.integration.gateway.test_gateway_published import (
    CLOSED_WITHIN_S,
    answered,
    check_bucket,
    check_close_and_revoke,
    close_all,
    seconds_until,
    sharing_homes,
)
from tests.integration.gateway.test_gateway_routes import LABELS, REQUEST
from tests.integration.gateway.upstream import LoopbackUpstream, completion
from tests.other_environment import run_in

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import update_routes
from deputize.store.published.buckets import open_bucket

ROOT = Path(__file__).resolve().parents[3]
IS_HERE = all(importlib.util.find_spec(name) for name in ("s3fs", "moto"))
needs_s3 = pytest.mark.skipif(not IS_HERE, reason="run by test_s3_in_its_environment")
URL = "s3://bucket/shared"
N_KILLS = 6
PUBLISHER = """
import sys
from pathlib import Path
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import update_routes

home = Home(Path(sys.argv[1]))
while True:
    file = update_routes(home.routes_path, lambda old: RouteFile(run_id=f"{old.generation}"), home.routes_seal)
    print(file.generation, flush=True)
"""

STREAMER = """
import resource, sys
from pathlib import Path
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.buckets import open_bucket
from deputize.store.published.sealed_objects import get_file, put_file

folder = Path(sys.argv[1])
bucket, ring = open_bucket("s3://bucket/large"), KeyRing.open(folder, environ={})


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grown_by(n_mib):
    with (folder / "large").open("wb") as file:
        file.truncate(n_mib << 20)
    before = peak_mib()
    found = put_file(folder / "large", bucket, ring)
    sent = peak_mib()
    get_file(found, bucket, ring, folder / "got")
    assert (folder / "got").stat().st_size == n_mib << 20
    return sent - before, peak_mib() - sent


grown_by(1)
print(*grown_by(192))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(IS_HERE, reason="this is the environment")
def test_s3_in_its_environment(tmp_path: Path) -> None:
    """The tests below, where s3fs and moto are: `make cloud`."""
    n_passed, output = run_in(
        "cloud",
        "s3fs needs another botocore than boto3: `make cloud` puts it and moto into .env-cloud",
        __file__,
        tmp_path=tmp_path,
        timeout=800,
    )
    assert n_passed == 8, output[-2000:]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server with an empty bucket, found through the environment as a user's would be."""
    import botocore.session
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = botocore.session.get_session().create_client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    for found in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=found["Key"])
    client.close()
    server.stop()


@needs_s3
@pytest.mark.slow
def test_a_name_is_written_once(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    check_bucket(URL)
    assert not s3.list_multipart_uploads(Bucket="bucket").get("Uploads")
    with pytest.raises(StoreError, match="s3://nowhere/x cannot be written"):
        open_bucket("s3://nowhere/x").create("p/1", b"one")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(StoreError, match="s3://bucket/shared cannot be used now"):
        open_bucket(URL).read("p/1")
    assert time.monotonic() - began < 30


@needs_s3
@pytest.mark.slow
async def test_a_route_closed_and_a_key_revoked_are_so_on_the_other_machine(
    s3: Any, tmp_path: Path, upstream: LoopbackUpstream
) -> None:
    took = await check_close_and_revoke(tmp_path, URL, upstream)
    assert took["closed"] < CLOSED_WITHIN_S, took


class SlowLine:
    """A line to a server that takes `BYTES_PER_S` of a connection."""

    BYTES_PER_S = 1 << 20

    def __init__(self, port: int) -> None:
        self._port, self.n_bytes = port, 0

    async def __aenter__(self) -> SlowLine:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)

        async def answer() -> None:
            while data := await there.read(1 << 16):
                writer.write(data)
            writer.close()

        answers = asyncio.create_task(answer())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 14):
                self.n_bytes += len(data)
                back.write(data)
                await back.drain()
                await asyncio.sleep(len(data) / self.BYTES_PER_S)
        back.close()
        await asyncio.wait([answers])


@needs_s3
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_route_is_closed_everywhere_while_a_large_specialist_is_on_its_way(
    s3: Any, tmp_path: Path, upstream: LoopbackUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen seconds of sending, on the machine where the route is closed."""
    homes = sharing_homes(tmp_path, URL, 2)
    upstream.answer_with(completion("transfer"))
    publish(homes[0], route_for(REQUEST, LABELS))
    large = homes[0] / "runs" / "0002" / "specialists" / "t2"
    large.mkdir(parents=True)
    (large / "specialist.json").write_text("{}")
    (large / "weights").write_bytes(os.urandom(16 << 20))
    name = large.relative_to(homes[0]).as_posix()

    def with_another(file: RouteFile) -> RouteFile:
        more = structs.replace(file.routes[0], id="route-2", specialist=name, keys=["another"])
        return structs.replace(file, routes=[*file.routes, more])

    async with (
        answered(homes[1], upstream) as other,
        SlowLine(urlsplit(os.environ["AWS_ENDPOINT_URL"]).port or 0) as line,
    ):
        await seconds_until(other, "lost_card")
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
        sender = Home(homes[0])
        sending = asyncio.create_task(
            asyncio.to_thread(update_routes, sender.routes_path, with_another, sender.routes_seal)
        )
        while line.n_bytes < 2 << 20:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(close_all, homes[0])
        took = await seconds_until(other, "transfer")
        assert not sending.done() and line.n_bytes < 12 << 20, "the other is still on its way"
        await sending
        assert took < CLOSED_WITHIN_S, took
        closed = Home(homes[1])
        assert closed.published is not None
        await asyncio.to_thread(closed.published.look)
        assert closed.routes().routes[0].state == "closed"
        async with asyncio.timeout(60):  # the gateway there fetches it
            while not (homes[1] / name / "weights").exists():
                await asyncio.sleep(0.1)
        assert (homes[1] / name / "weights").read_bytes() == (large / "weights").read_bytes()


@needs_s3
@pytest.mark.slow
def test_a_large_file_is_never_in_memory_as_a_whole(s3: Any, tmp_path: Path) -> None:
    """By a process of its own: the server here keeps objects in memory."""
    done = subprocess.run(
        [sys.executable, "-c", STREAMER, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sent_mib, got_mib = map(float, done.stdout.split())
    assert max(sent_mib, got_mib) < 80, "of 192"


@needs_s3
@pytest.mark.slow
def test_a_server_that_says_nothing_is_told_of_within_a_minute(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreError, match="Read timeout"):
            open_bucket(URL).read("pointers/000000000001")
    assert time.monotonic() - began < 60.0, "somebody waits who wants to close a route"


@needs_s3
@pytest.mark.slow
async def test_a_bucket_that_is_gone_leaves_the_calls_to_the_llm(
    s3: Any, tmp_path: Path, upstream: LoopbackUpstream
) -> None:
    limits = "max_age_s = 1\nkeys_max_age_s = 3\npoll_s = 0.1\n"
    homes = sharing_homes(tmp_path, URL, 1, limits)
    await asyncio.to_thread(publish, homes[0], route_for(REQUEST, LABELS))
    key = (await asyncio.to_thread(Home(homes[0]).api_keys.create, "ingest")).text
    upstream.answer_with(completion("transfer"))
    kept = {
        found["Key"]: s3.get_object(Bucket="bucket", Key=found["Key"])["Body"].read()
        for found in s3.list_objects_v2(Bucket="bucket")["Contents"]
    }
    async with answered(homes[0], upstream) as ask:
        await seconds_until(ask, "lost_card", key)  # a look at the pointer may take longer than max_age_s
        for name in kept:
            s3.delete_object(Bucket="bucket", Key=name)
        await seconds_until(ask, "transfer", key)
        await seconds_until(ask, "503", key)
        with pytest.raises(Tampered, match="rolled back"):
            await asyncio.to_thread(close_all, homes[0])
        for name, data in kept.items():
            s3.put_object(Bucket="bucket", Key=name, Body=data)
        await seconds_until(ask, "lost_card", key)


@needs_s3
@pytest.mark.slow
def test_older_forged_and_changed_objects_are_named(s3: Any, tmp_path: Path) -> None:
    homes = sharing_homes(tmp_path, URL, 2)
    publish(homes[0], route_for(REQUEST, LABELS))
    close_all(homes[0])
    other = Home(homes[1])
    assert other.published is not None and other.published.look()
    names = [found["Key"] for found in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    pointer, state = max(n for n in names if "/pointers/" in n), next(n for n in names if "/objects/" in n)
    genuine = s3.get_object(Bucket="bucket", Key=pointer)["Body"].read()
    s3.put_object(Bucket="bucket", Key=pointer, Body=genuine[:-1] + bytes([genuine[-1] ^ 1]))
    with pytest.raises(Tampered, match="version 2 is another one"):
        other.published.look()
    s3.delete_object(Bucket="bucket", Key=pointer)
    with pytest.raises(Tampered, match="rolled back: its newest version is 1, and this home knows 2"):
        other.published.look()
    s3.put_object(Bucket="bucket", Key=pointer, Body=genuine)
    s3.put_object(Bucket="bucket", Key=state, Body=b"x" * 100)
    with pytest.raises(Tampered, match=r"objects/.* was changed"):
        close_all(homes[1])


@needs_s3
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_publisher_that_is_killed_leaves_a_whole_version(s3: Any, tmp_path: Path) -> None:
    homes, chance = sharing_homes(tmp_path, URL, 2), random.Random(5)
    other, n_changes = Home(homes[1]), 0
    for _ in range(N_KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(homes[0])], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        said = [int(process.stdout.readline())]
        time.sleep(chance.random())
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout]
        process.wait()
        process.stdout.close()
        n_changes += len(said)
        assert other.published is not None
        other.published.look()
        seen = other.routes().generation
        assert seen - said[-1] in (0, 1), "all that was said, and at most the one under way"
        killed = Home(homes[0])
        assert killed.published is not None
        killed.published.look()
        assert killed.routes_path.read_bytes() == other.routes_path.read_bytes()
        assert killed.routes().generation == seen
    assert n_changes >= N_KILLS
