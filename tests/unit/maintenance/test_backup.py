"""A home as one file and back: whole, checked, and nothing of it readable without the keys."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deputize.core.errors import BadInput, DeputizeError, StoreError, Tampered, UsageError
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.maintenance.backup import MANIFEST, back_up, restore
from deputize.routes_file import read_routes, update_routes, write_routes
from deputize.testing import call


@pytest.fixture
def home(tmp_path: Path) -> Home:
    opened = Home(tmp_path / "home")
    opened.store.append([call(f"c{i}", "my secret") for i in range(3)])
    opened.close()
    (opened.path / "config.toml").write_text("[convert]\nepsilon = 0.1\n")
    (opened.path / "traces").mkdir()
    (opened.path / "traces" / "x.trace").write_text("quoted")
    (opened.path / "gateway.log").write_text("x")
    (opened.path / "runs" / "0001-a").mkdir(parents=True)
    (opened.path / "runs" / "0001-a" / "run.json").write_text("{}")
    return opened


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_with_its_keys_a_home_comes_back_and_verifies(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    done = back_up(home, out, with_keys=True)
    assert out.stat().st_mode & 0o077 == 0 and done.with_keys
    restore(out, tmp_path / "new")
    with Home(tmp_path / "new") as back:
        assert [c.id for c in back.store.calls()] == ["c0", "c1", "c2"]
        assert back.audit.verify().ok
        assert "backup" in {e.action for e in back.audit.entries()}
    assert (tmp_path / "new" / "runs" / "0001-a" / "run.json").read_text() == "{}"
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "new").rglob("*"))


def test_without_keys_nothing_can_be_read_until_they_are_back(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    back_up(home, out)
    assert not any(name.startswith("keys/") for name in names(out)) and b"secret" not in out.read_bytes()
    restore(out, tmp_path / "new")
    with pytest.raises(StoreError):
        Home(tmp_path / "new").require_keys()
    shutil.copytree(home.keys_path, tmp_path / "new" / "keys")
    with Home(tmp_path / "new") as back:
        assert back.store.count() == 3


@pytest.mark.parametrize("place", ["note", "runs/0001-a/note", "more"])
def test_a_link_brings_nothing_from_elsewhere_into_it(home: Home, tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "private").write_text("of its owner")
    target = elsewhere if place == "more" else elsewhere / "private"
    (home.path / place).symlink_to(target)
    with pytest.raises(UsageError, match="is a link"):
        back_up(home, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_no_other_name_brings_the_keys_into_it(home: Home, tmp_path: Path, link: Any) -> None:
    link(home.path / "runs" / "note", home.keys_path / "kek.key")
    with pytest.raises(UsageError):
        back_up(home, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_logs_traces_and_locks_stay_behind_and_the_audit_log_comes_last(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "b.tar", with_keys=True)
    found = names(tmp_path / "b.tar")
    assert found[-3:] == ["audit.head", "audit.log", MANIFEST]
    assert not any("trace" in n or n.endswith(".lock") or n == "gateway.log" for n in found)
    assert {"store.db", "config.toml"} <= set(found)


def test_routes_that_change_while_it_is_made_are_not_refused_in_the_copy(home: Home, tmp_path: Path) -> None:
    write_routes(home.routes_path, RouteFile(run_id="first"), home.routes_seal)

    def promote(what: str, done: int, total: int | None = None) -> None:
        update_routes(home.routes_path, lambda file: RouteFile(run_id=f"{done}"), home.routes_seal)

    back_up(home, tmp_path / "b.tar", with_keys=True, progress=promote)
    restore(tmp_path / "b.tar", tmp_path / "copy")
    copy = Home(tmp_path / "copy")
    assert (
        read_routes(copy.routes_path, copy.routes_seal).run_id
        == read_routes(home.routes_path).run_id
        != "first"
    )


def test_calls_that_come_while_it_is_made_do_no_harm(home: Home, tmp_path: Path) -> None:
    with home.fresh() as writing:
        store = writing.store

        def add(what: str, done: int, total: int | None = None) -> None:
            store.append([call(f"late{done}")])

        back_up(home, tmp_path / "b.tar", with_keys=True, progress=add)
    restore(tmp_path / "b.tar", tmp_path / "new")
    with Home(tmp_path / "new") as back:
        assert {"c0", "c1", "c2"} <= {c.id for c in back.store.calls()}


def test_a_backup_is_neither_written_over_a_file_nor_into_the_home(home: Home, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(BadInput):
        back_up(home, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(UsageError, match="lies in the home"):
        back_up(home, home.path / "b.tar")
    with pytest.raises(StoreError):
        back_up(Home(tmp_path / "none"), tmp_path / "c.tar")
    assert not (tmp_path / "c.tar").exists()


def changed(source: Path, target: Path, *, rename: str = "", drop: str = "") -> None:
    """A copy of a backup with one file altered, renamed or dropped."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for entry in old:
            inner = old.extractfile(entry)
            assert inner is not None
            data = inner.read()
            if entry.name == drop:
                continue
            if entry.name == "config.toml":
                data = data.replace(b"0.1", b"0.9")
                entry.name = rename or entry.name
            new.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({}, Tampered),
        ({"rename": "../outside"}, Tampered),
        ({"drop": "audit.log"}, Tampered),
        ({"drop": MANIFEST}, BadInput),
    ],
)
def test_a_changed_backup_leaves_nothing_behind(
    home: Home, tmp_path: Path, how: dict[str, str], kind: type[DeputizeError]
) -> None:
    back_up(home, tmp_path / "b.tar")
    changed(tmp_path / "b.tar", tmp_path / "bad.tar", **how)
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(kind):
        restore(tmp_path / "bad.tar", tmp_path / "new")
    assert {p.name for p in tmp_path.iterdir()} == before


def test_a_home_with_files_is_not_written_over(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "b.tar")
    with pytest.raises(UsageError, match="not empty"):
        restore(tmp_path / "b.tar", home.path)
    (tmp_path / "no.tar").write_text("no archive")
    with pytest.raises(BadInput):
        restore(tmp_path / "no.tar", tmp_path / "new")
    with pytest.raises(BadInput, match="does not exist"):
        restore(tmp_path / "nowhere.tar", home.path)
