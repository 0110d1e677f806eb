"""Whatever the umask, what the package writes under a home is for its owner alone: files 0600, folders 0700."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests import tiny_model
from tests.integration.gateway.upstream import completion, loopback_upstream
from tests.integration.pipeline.test_tenants import traffic

from deputize.core.config import Convert
from deputize.gateway.launch import running_gateway
from deputize.home import Home
from deputize.listen import Listener
from deputize.pipeline.conversion import convert


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(home: Path) -> dict[str, int]:
    """Path -> its rights."""
    return {
        str(p.relative_to(home.parent)): stat.S_IMODE(p.lstat().st_mode) for p in (home, *home.rglob("*"))
    }


async def test_a_home_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_umask: None
) -> None:
    tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    path = tmp_path / "above" / "home"
    with Listener.open(agent="desk", home=path).episode():
        pass
    with Home(path) as home:
        home.api_keys.create("ingest")
        home.store.append(traffic("default", 120, strict=True))
        found = convert(home, Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.2))
        assert found["tasks"]
        home.api_keys.require(False)
    async with loopback_upstream() as upstream:
        upstream.answer_with(completion("x"))
        async with running_gateway(path, upstream.base_url) as url, aiohttp.ClientSession() as session:
            body = {"model": "m", "input": "q"}
            async with session.post(f"{url}/v1/responses", json=body) as reply:
                assert reply.status < 500
            open_now = modes(path)
    for seen in (open_now, modes(path)):
        wrong = {
            name: oct(mode)
            for name, mode in seen.items()
            if mode != (0o700 if (tmp_path / "above" / name).is_dir() else 0o600)
            and (tmp_path / "above" / name).exists()
        }
        assert not wrong
    assert os.umask(0) == 0, "a run leaves the umask of its process as it was"
    kinds = {Path(name).suffix for name in open_now}
    assert {".db", ".sealed", ".json", ".npz", ".html"} <= kinds, kinds
