"""Exports of several homes in one object store."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.store.published.test_published_home import homes, routes

from deputize.core.errors import BadInput, StoreError, Tampered, UsageError
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.route_export import shared_exports
from deputize.routes_file import write_routes


def an_export(folder: Path) -> Path:
    (folder / "adapter").mkdir(parents=True)
    (folder / "README.md").write_text("card")
    (folder / "adapter" / "weights").write_bytes(b"w" * 1000)
    return folder


def test_an_export_is_shared_fetched_and_goes_with_its_specialist(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    file = routes()
    specialist = file.routes[0].specialist
    (one.path / specialist).mkdir(parents=True, exist_ok=True)
    (one.path / specialist / "specialist.json").write_text("{}")
    write_routes(one.routes_path, file, one.routes_seal)
    folder = an_export(tmp_path / "made")
    with pytest.raises(BadInput, match="no route that is published"):
        shared_exports(one).share("r/peft", "specialists/unknown", folder)
    shared_exports(one).share("r/peft", specialist, folder)
    shared_exports(other).fetch("r/peft", tmp_path / "came")
    assert (tmp_path / "came" / "README.md").read_text() == "card"
    assert (tmp_path / "came" / "adapter" / "weights").read_bytes() == b"w" * 1000
    assert not any(b"wwww" in path.read_bytes() for path in (tmp_path / "shared" / "objects").iterdir())
    with pytest.raises(BadInput, match="not empty"):
        shared_exports(other).fetch("r/peft", tmp_path / "came")
    with pytest.raises(BadInput, match=r"there are: r/peft"):
        shared_exports(other).fetch("r/gguf", tmp_path / "new")
    assert [e.action for e in other.audit.entries() if e.action.startswith("export")] == ["export.fetch"]
    gone = replace(one.routes(), routes=[])
    assert isinstance(gone, RouteFile)
    write_routes(one.routes_path, gone, one.routes_seal)
    with pytest.raises(BadInput, match="there are: none"):
        shared_exports(other).fetch("r/peft", tmp_path / "new")


def test_an_export_goes_when_its_route_is_closed_as_after_an_erasure(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    file = routes()
    specialist = file.routes[0].specialist
    (one.path / specialist).mkdir(parents=True, exist_ok=True)
    (one.path / specialist / "specialist.json").write_text("{}")
    write_routes(one.routes_path, file, one.routes_seal)

    def n_objects() -> int:
        return len(list((tmp_path / "shared" / "objects").iterdir()))

    before = n_objects()
    shared_exports(one).share("r/peft", specialist, an_export(tmp_path / "made"))
    assert n_objects() == before + 2
    write_routes(one.routes_path, routes("closed"), one.routes_seal)
    assert n_objects() == before, "the specialist stays, its export has gone"
    with pytest.raises(BadInput, match="there are: none"):
        shared_exports(other).fetch("r/peft", tmp_path / "came")
    with pytest.raises(BadInput, match="is closed, so its export is not shared"):
        shared_exports(one).share("r/peft", specialist, tmp_path / "made")
    assert n_objects() == before
    write_routes(one.routes_path, routes("rolled_back"), one.routes_seal)
    shared_exports(one).share("r/peft", specialist, tmp_path / "made")
    assert n_objects() == before + 2, "one that is rolled back may come again"


def test_a_changed_export_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    file = routes()
    specialist = file.routes[0].specialist
    (one.path / specialist).mkdir(parents=True, exist_ok=True)
    (one.path / specialist / "specialist.json").write_text("{}")
    write_routes(one.routes_path, file, one.routes_seal)
    shared_exports(one).share("r/peft", specialist, an_export(tmp_path / "made"))
    for path in (tmp_path / "shared" / "objects").iterdir():
        if path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises((Tampered, StoreError)):
        shared_exports(other).fetch("r/peft", tmp_path / "came")
    assert not list(tmp_path.glob("came*"))


def test_a_home_that_shares_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no object store"):
        shared_exports(Home(tmp_path))
