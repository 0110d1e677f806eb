"""store migrate, as a user sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import postgres_cluster

from deputize.cli.main import run
from deputize.core.records import Call
from deputize.home import Home


def test_a_store_is_moved_its_tables_go_back_and_up_and_it_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = postgres_cluster.options_for(tmp_path)
    at = ["--home", str(tmp_path), "store", "migrate"]
    with Home(tmp_path) as home:
        home.store.append([Call(id="a", messages=[], response={}, timestamp=5.0)])
    assert run([*at, "--to", options["url"], "--version", "1"]) == 2
    assert run([*at, "--to", options["url"], "--schema", options["schema"]]) == 0
    shown = capsys.readouterr().out
    assert "1 calls are in PostgreSQL" in shown
    settings = shown[shown.index("[store]") : shown.index("Then")]
    (tmp_path / "config.toml").write_text(settings)
    assert run([*at, "--version", "1"]) == 0
    capsys.readouterr()
    assert run(["--home", str(tmp_path), "status"]) != 0
    assert "`deputize store migrate`" in capsys.readouterr().err
    assert run(at) == 0
    assert "version 4; before: 1" in capsys.readouterr().out
    with Home(tmp_path) as home:
        assert home.store.count() == 1
        assert [e.action for e in home.audit.entries()].count("store.migrate") == 2
    (tmp_path / "store.db").rename(tmp_path / "moved.db")
    assert run([*at, "--to", "sqlite", "--schema", "s"]) == 2
    assert run([*at, "--to", "sqlite"]) == 0
    assert "1 calls are in SQLite" in capsys.readouterr().out
    (tmp_path / "config.toml").unlink()
    with Home(tmp_path) as home:
        assert home.store.count() == 1
