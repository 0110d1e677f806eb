"""Keys that were changed on one home, taken over by another that has the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.core.errors import AccessDenied, BadInput, StoreError, UsageError
from deputize.core.records import Call
from deputize.home import Home
from deputize.maintenance import key_adoption
from deputize.maintenance.key_adoption import adopt_keys
from deputize.maintenance.rotation import rotate
from deputize.store.access.roles import Actor, owner
from deputize.store.keys.run_keys import run_key

RUN = Path("runs") / "r1"


def two_homes(tmp_path: Path) -> tuple[Path, bytes]:
    """(a home whose keys were changed on another one since, a text that is sealed with the key of its run); the new
    keys lie in tmp_path/new."""
    first, second = tmp_path / "first", tmp_path / "second"
    with Home(first) as home:
        assert home.store.count() == 0
    shutil.copytree(first / "keys", second / "keys")
    with Home(second) as home:
        home.store.append([Call(id="a", messages=[], response={}, origin="o", timestamp=1.7e9)])
        (second / RUN).mkdir(parents=True)
        sealed = run_key(second / RUN, home.keyring).seal(b"of a run", b"")
    with Home(first) as home:
        rotate(home)
    shutil.copytree(first / "keys", tmp_path / "new")
    return second, sealed


def read(home_path: Path, sealed: bytes) -> tuple[bytes, list[str]]:
    with Home(home_path) as home:
        return run_key(home_path / RUN, home.keyring).unseal(sealed, b""), [c.id for c in home.store.calls()]


def test_runs_and_the_store_are_read_with_the_new_keys_and_the_old_ones_are_gone(tmp_path: Path) -> None:
    second, sealed = two_homes(tmp_path)
    shutil.copytree(second, tmp_path / "copied")
    shutil.rmtree(tmp_path / "copied" / "keys")
    shutil.copytree(tmp_path / "new", tmp_path / "copied" / "keys")
    with Home(tmp_path / "copied") as home, pytest.raises(StoreError, match="wrapping key"):
        run_key(tmp_path / "copied" / RUN, home.keyring)
    with Home(second) as home:
        done = adopt_keys(home, owner(), tmp_path / "new")
        assert done.n_data_keys == 2 and done.warnings == ()
        assert "keys.adopt" in [entry.action for entry in home.audit.entries()]
    shutil.rmtree(tmp_path / "new")
    assert read(second, sealed) == (b"of a run", ["a"])
    assert not (second / "keys" / "kek.key").exists()


def test_an_adoption_that_stopped_half_way_is_ended_by_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, sealed = two_homes(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with Home(second) as home, monkeypatch.context() as patched:
        patched.setattr(key_adoption, "_install", killed)
        with pytest.raises(KeyboardInterrupt):
            adopt_keys(home, owner(), tmp_path / "new")
    with Home(second) as home:
        adopt_keys(home, owner(), tmp_path / "new")
    assert read(second, sealed) == (b"of a run", ["a"])


def test_other_keys_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    second, sealed = two_homes(tmp_path)
    with Home(tmp_path / "stranger") as home:
        assert home.keyring.id
    with Home(second) as home:
        with pytest.raises(BadInput, match="another ring"):
            adopt_keys(home, owner(), tmp_path / "stranger" / "keys")
        with pytest.raises(UsageError, match="own folder"):
            adopt_keys(home, owner(), second / "keys")
        with pytest.raises(StoreError, match="no keys"):
            adopt_keys(home, owner(), tmp_path)
        with pytest.raises(AccessDenied):
            adopt_keys(home, Actor(name="k", role="operator"), tmp_path / "new")
    assert read(second, sealed) == (b"of a run", ["a"])


def test_keys_of_before_a_change_are_refused_whatever_the_clocks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, sealed = two_homes(tmp_path)
    shutil.copytree(second / "keys", tmp_path / "before")
    with Home(second) as home:
        adopt_keys(home, owner(), tmp_path / "new")
    with Home(second) as home:
        with pytest.raises(BadInput, match="are older than those of"):
            adopt_keys(home, owner(), tmp_path / "before")
        adopt_keys(home, owner(), tmp_path / "new")
    assert read(second, sealed) == (b"of a run", ["a"])
    # changed again on a machine whose clock is behind
    monkeypatch.setattr("time.time", lambda: 1.7e9)
    with Home(second) as home:
        rotate(home)
    monkeypatch.undo()
    with Home(tmp_path / "first") as home:
        adopt_keys(home, owner(), second / "keys")
    with Home(tmp_path / "first") as home, pytest.raises(BadInput, match="are older"):
        adopt_keys(home, owner(), tmp_path / "new")


def test_nobody_is_told_to_delete_the_keys_of_a_home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second, _ = two_homes(tmp_path)
    assert run(["--home", str(second), "keys", "adopt", str(tmp_path / "first" / "keys")]) == 0
    told = capsys.readouterr().out
    assert "leave it" in told and "Delete" not in told
    assert run(["--home", str(second), "keys", "adopt", str(tmp_path / "new")]) == 0
    assert f"Delete {tmp_path / 'new'}" in " ".join(capsys.readouterr().out.split())
