"""The calls of a home into PostgreSQL and back, while others record; the versions of its tables."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests import postgres_cluster

from deputize.core.errors import AccessDenied, BadInput, StoreError, UsageError
from deputize.core.records import Call
from deputize.home import Home
from deputize.maintenance import store_migration
from deputize.maintenance.store_migration import (
    StoreMoved,
    drop_unfinished,
    migrate_tables,
    move_store,
    move_store_back,
    options_of,
)
from deputize.store.access.roles import Actor, owner
from deputize.store.recording.recorder import Recorder
from deputize.store.sqlite import SqliteStore
from deputize.store.sqlite_arrival import begin_arrival, mark_arrival


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return postgres_cluster.options_for(tmp_path)


def named(options: dict[str, Any]) -> str:
    lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
    return f'[store]\nkind = "postgres"\n[store.options]\n{lines}\n'


def a_call(id: str) -> Call:
    return Call(id=id, messages=[], response={}, timestamp=5.0)


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("postgresql://a@b/c", {"url": "postgresql://a@b/c", "schema": "s"}),
        ("env:STORE", {"url_env": "STORE", "schema": "s"}),
        ("service:calls", {"service": "calls", "schema": "s"}),
    ],
)
def test_an_address_is_a_url_a_variable_or_a_service(address: str, options: dict[str, str]) -> None:
    assert options_of(address, "s") == options
    assert "schema" not in options_of(address)


def test_what_is_recorded_during_a_move_is_in_the_new_store(tmp_path: Path, options: dict[str, Any]) -> None:
    """A gateway that goes on meets the moved store, keeps its calls in its journal, and starts again with the new
    settings."""
    with Home(tmp_path) as home:
        home.store.append([a_call("before")])
        recorder = Recorder(home.open_store_for_writing(), home.keyring, tmp_path).start()
        done = move_store(home, owner(), options)
        assert done.n_calls == 1 and "PostgreSQL deputize" in done.to
        recorder.record_now(a_call("meanwhile"))
        assert recorder.flush(0.5) is False and "were moved to" in recorder.stats().failing
        recorder.close_now(timeout_s=3.0)
        entry = list(home.audit.entries())[-1]
        assert (entry.action, entry.subject) == ("store.move", done.to) and home.audit.verify().ok
    with Home(tmp_path) as home, pytest.raises(StoreError, match="were moved to"):
        list(home.store.calls())
    (tmp_path / "config.toml").write_text(named(options))
    with Home(tmp_path) as home:
        assert [c.id for c in home.store.calls()] == ["before", "meanwhile"]
        elsewhere = {**options, "schema": f"{options['schema']}_new"}
        assert move_store(home, owner(), elsewhere).n_calls == 2, "and on to another server or schema"
    (tmp_path / "config.toml").write_text(named(elsewhere))
    with Home(tmp_path) as home:
        assert [c.id for c in home.store.calls()] == ["before", "meanwhile"]


def test_a_move_that_fails_leaves_the_store_as_it_was(tmp_path: Path, options: dict[str, Any]) -> None:
    with Home(tmp_path / "other") as other:
        other.store.append([a_call("x")])
        move_store(other, owner(), options)
    with Home(tmp_path) as home:
        home.store.append([a_call("a")])
        with pytest.raises(StoreError, match="written with the key ring"):
            move_store(home, owner(), options)
        with pytest.raises(BadInput, match="holds a password"):
            move_store(home, owner(), {"url": "postgresql://a:b@c/d"})
        with pytest.raises(AccessDenied):
            move_store(home, Actor(name="k", role="ingest"), options)
        assert home.store.append([a_call("b")]) == 1 and home.store.count() == 2


def test_what_is_recorded_during_the_way_back_is_in_the_old_kind_of_store(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "config.toml").write_text(named(options))
    with Home(tmp_path) as home:
        home.store.append([a_call("before")])
        recorder = Recorder(home.open_store_for_writing(), home.keyring, tmp_path).start()
        done = move_store_back(home, owner())
        assert done == StoreMoved(to=f"SQLite in {tmp_path / 'store.db'}", n_calls=1)
        assert move_store_back(home, owner()) == done, "a second time changes nothing"
        recorder.record_now(a_call("meanwhile"))
        assert recorder.flush(0.5) is False and "were moved to SQLite in" in recorder.stats().failing
        recorder.close_now(timeout_s=3.0)
        assert [e.action for e in home.audit.entries()].count("store.move") == 1 and home.audit.verify().ok
    with Home(tmp_path) as home, pytest.raises(StoreError, match="were moved to SQLite in"):
        list(home.store.calls())
    (tmp_path / "config.toml").unlink()
    with Home(tmp_path) as home:
        assert [c.id for c in home.store.calls()] == ["before", "meanwhile"]
        with pytest.raises(UsageError, match="only one in PostgreSQL can be moved back"):
            move_store_back(home, owner())


def test_a_store_that_is_there_is_not_written_over(tmp_path: Path, options: dict[str, Any]) -> None:
    with Home(tmp_path) as home:
        home.store.append([a_call("a")])
        move_store(home, owner(), options)
    (tmp_path / "config.toml").write_text(named(options))
    with Home(tmp_path) as home:
        with pytest.raises(StoreError, match=r"store.db is there already"):
            move_store_back(home, owner())
        assert home.store.append([a_call("b")]) == 1, "the store in PostgreSQL is as it was"
        with pytest.raises(AccessDenied):
            move_store_back(home, Actor(name="k", role="ingest"))


def test_a_move_back_that_stops_in_the_middle_is_ended_or_begun_again(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """Before PostgreSQL has named the file it goes on; afterwards all calls are in the file that becomes store.db."""
    (tmp_path / "config.toml").write_text(named(options))
    with Home(tmp_path) as home:
        home.store.append([a_call("a")])
        arriving = begin_arrival(tmp_path / "store.db")
        half = SqliteStore(arriving, home.keyring)
        half.append([a_call("of an earlier try")])
        half.close()
        mark_arrival(tmp_path / "store.db", "an earlier try")
        assert home.store.append([a_call("b")]) == 1
        store_migration._fill(home, owner())
    (tmp_path / "config.toml").rename(tmp_path / "kept")
    with Home(tmp_path) as home, pytest.raises(StoreError, match=r"was not ended.*store migrate --to sqlite"):
        home.open_store()
    (tmp_path / "kept").rename(tmp_path / "config.toml")
    with Home(tmp_path) as home:
        assert move_store_back(home, owner()).n_calls == 2
    (tmp_path / "config.toml").unlink()
    with Home(tmp_path) as home:
        assert {c.id for c in home.store.calls()} == {"a", "b"}


MOVER = """
import sys
from deputize.cli.main import run

sys.exit(run(["--home", sys.argv[1], "store", "migrate", "--to", "sqlite"]))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_move_back_that_is_killed_loses_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    """kill -9 at any time, then the same command again; a call recorded in between is there too wherever the store
    took it."""
    (tmp_path / "config.toml").write_text(named(options))
    kept = {f"c{n}" for n in range(20_000)}
    with Home(tmp_path) as home:
        home.store.append([a_call(id) for id in sorted(kept)])
    dice, n_killed = random.Random(2), 0
    for attempt in range(40):
        process = subprocess.Popen([sys.executable, "-c", MOVER, str(tmp_path)], stdout=subprocess.DEVNULL)
        if attempt < 8:
            while not (tmp_path / "store.db.arriving").exists() and process.poll() is None:
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 1.5) * (attempt + 1) / 8)
            process.kill()
        n_killed += process.wait() == -signal.SIGKILL
        if process.returncode == 0:
            break
        with Home(tmp_path) as home, contextlib.suppress(StoreError):
            home.store.append([a_call(f"between-{attempt}")])
            kept.add(f"between-{attempt}")
    assert n_killed >= 2
    (tmp_path / "config.toml").unlink()
    with Home(tmp_path) as home:
        assert {c.id for c in home.store.calls()} == kept
        assert home.audit.verify().ok


class Killed(Exception):
    """In the place of kill -9: nothing after it is done."""


@pytest.mark.parametrize("after", ["the tables were filled", "the old store named them"])
def test_a_move_that_is_killed_is_ended_by_the_same_command_and_nothing_is_used_before(
    after: str, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    with Home(tmp_path) as home:
        home.store.append([a_call("a")])
        with monkeypatch.context() as patched, pytest.raises(Killed):
            if after == "the tables were filled":
                patched.setattr(SqliteStore, "_next_epoch", kill)
            else:
                patched.setattr(store_migration, "end_unfinished_move", kill)
            move_store(home, owner(), options)
    (tmp_path / "config.toml").write_text(named(options))
    with Home(tmp_path) as home, pytest.raises(StoreError, match="was not ended"):
        home.store.append([a_call("too early")])
    (tmp_path / "config.toml").unlink()
    with Home(tmp_path) as home:
        if after == "the tables were filled":
            assert home.store.append([a_call("b")]) == 1, "the old store is in force"
        else:
            with pytest.raises(UsageError, match="was left for"):
                drop_unfinished(home, owner(), options)
    with Home(tmp_path) as home:
        done = move_store(home, owner(), options)
        assert done.n_calls == (2 if after == "the tables were filled" else 1)
        with pytest.raises(UsageError, match="nothing is dropped"):
            drop_unfinished(home, owner(), options)
    (tmp_path / "config.toml").write_text(named(options))
    with Home(tmp_path) as home:
        assert home.store.append([a_call("c")]) == 1 and home.store.count() == done.n_calls + 1


def test_a_move_that_was_ended_is_ended_still_when_it_is_repeated(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with Home(tmp_path) as home:
        home.store.append([a_call("a")])
        assert move_store(home, owner(), options).n_calls == 1
    for config in ("", named(options)):
        (tmp_path / "config.toml").write_text(config)
        with Home(tmp_path) as home:
            began = time.monotonic()
            assert move_store(home, owner(), options).n_calls == 1
            assert time.monotonic() - began < 20.0, "nobody waits for a lock of its own"
            assert [e.action for e in home.audit.entries()].count("store.move") == 1
    (tmp_path / "config.toml").unlink()
    postgres_cluster.cluster().sql(f"DROP SCHEMA {options['schema']} CASCADE", postgres_cluster.ROLE)
    with Home(tmp_path) as home, pytest.raises(StoreError, match="were moved to"):
        move_store(home, owner(), options)  # they are nowhere now, and that is not said to be done


def test_the_tables_of_a_killed_move_are_dropped_where_nobody_wants_them(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    with Home(tmp_path / "home") as home:
        home.store.append([a_call("a")])
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(SqliteStore, "_next_epoch", kill)
            move_store(home, owner(), options)
        shutil.copytree(tmp_path / "home" / "keys", tmp_path / "other" / "keys")
        with Home(tmp_path / "other") as other:
            with pytest.raises(UsageError, match="drop it on that home"):
                drop_unfinished(other, owner(), options)
            with pytest.raises(StoreError, match="was not ended"):
                move_store(other, owner(), options)
        with pytest.raises(AccessDenied):
            drop_unfinished(home, Actor(name="k", role="ingest"), options)
        assert "SQLite in" in drop_unfinished(home, owner(), options)
        assert [e.action for e in home.audit.entries()][-1] == "store.drop"
        assert home.store.count() == 1
        with Home(tmp_path / "other") as other:
            other.store.append([a_call("x")])
            assert move_store(other, owner(), options).n_calls == 1, "there is room again"


def test_only_tables_in_postgresql_have_versions(tmp_path: Path) -> None:
    with Home(tmp_path) as home, pytest.raises(UsageError, match=r"the store of .* is sqlite"):
        home.store.append([a_call("a")])
        migrate_tables(home, owner())
