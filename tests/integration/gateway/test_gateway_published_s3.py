"""The same over S3: moto's server, two gateways, a server that goes away, kill -9 in the middle of publishing.

s3fs and boto3 (of the extra "kms") ask for different versions of botocore, so these run by another interpreter.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.gateway.specialists import publish, route_for
from tests.integration.gateway.test_gateway_published import (
    CLOSED_WITHIN_S,
    answered,
    check_close_and_revoke,
    close_all,
    seconds_until,
    sharing_homes,
)
from tests.integration.gateway.test_gateway_routes import LABELS, REQUEST
from tests.integration.gateway.upstream import LoopbackUpstream, completion
from tests.other_environment import run_in

from deputize.core.errors import StoreError, Tampered
from deputize.home import Home
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
    assert n_passed == 5, output[-2000:]


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
def test_a_name_is_written_once(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, other = open_bucket(URL), open_bucket(URL)
    assert bucket.names("p") == [] and bucket.read("p/1") is None
    assert bucket.create("p/1", b"one") and not other.create("p/1", b"two")
    assert bucket.create("p/1", b"one"), "an answer that was lost, and a second try"
    assert bucket.read("p/1") == b"one" and other.names("p") == ["1"]
    with bucket.writing("p/2") as out:
        out.write(b"three")
        assert other.names("p") == ["1"], "nothing is there before all of it is"
    assert other.names("p") == ["1", "2"]
    with other.reading("p/2") as file:
        assert (file.read(2), file.read(9), file.read(1)) == (b"th", b"ree", b"")
    with pytest.raises(FileNotFoundError), other.reading("p/3"):
        pass
    for n_bytes in (9, 20 << 20):
        with pytest.raises(RuntimeError, match="stop"), bucket.writing("p/3") as out:
            out.write(bytes(n_bytes))
            raise RuntimeError("stop")
        assert other.names("p") == ["1", "2"], "no part of it"
    assert not s3.list_multipart_uploads(Bucket="bucket").get("Uploads")
    bucket.remove("p/2")
    bucket.remove("p/2")
    assert other.names("p") == ["1"]
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
        assert await ask(key) == "lost_card"
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
