"""The calls of a home into PostgreSQL, while others record; the versions of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import postgres_cluster

from deputize.core.errors import AccessDenied, BadInput, StoreError, UsageError
from deputize.core.records import Call
from deputize.home import Home
from deputize.maintenance.store_migration import migrate_tables, move_store, options_of
from deputize.store.access.roles import Actor, owner
from deputize.store.recording.recorder import Recorder


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
    """A gateway that goes on meets the moved store, keeps its calls in its journal, and starts again with the new settings."""
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
        with pytest.raises(UsageError, match="Only the calls of an SQLite store"):
            move_store(home, owner(), {**options, "schema": "elsewhere"})


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


def test_only_tables_in_postgresql_have_versions(tmp_path: Path) -> None:
    with Home(tmp_path) as home, pytest.raises(UsageError, match=r"the store of .* is sqlite"):
        home.store.append([a_call("a")])
        migrate_tables(home, owner())
