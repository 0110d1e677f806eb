"""What API keys have spent, from a home to a server and back."""

from __future__ import annotations

from pathlib import Path

from tests import postgres_cluster

from deputize.home import Home
from deputize.maintenance.store_migration import move_store, move_store_back
from deputize.store.access.moved_spending import (
    spent_in_home,
    spent_on_server,
    take_over_in_home,
    take_over_on_server,
)
from deputize.store.access.roles import owner
from deputize.store.postgres_connection import server_of

MONTH, OTHER = "2026-11", "2026-10"
AT_S = 1_795_000_000.0
"""In that month."""


def test_spending_is_written_in_the_place_of_what_was_there(tmp_path: Path) -> None:
    assert spent_in_home(tmp_path, MONTH) == {}
    take_over_in_home(tmp_path, MONTH, {"k1": 2.5, "k2": 1.0})
    take_over_in_home(tmp_path, OTHER, {"k1": 9.0})
    take_over_in_home(tmp_path, MONTH, {"k1": 3.0})
    assert spent_in_home(tmp_path, MONTH) == {"k1": 3.0, "k2": 1.0}


def test_budgets_do_not_begin_again_with_a_move(tmp_path: Path) -> None:
    options = postgres_cluster.options_for(tmp_path)
    server = server_of(options)
    take_over_in_home(tmp_path, MONTH, {"k1": 2.5})
    take_over_in_home(tmp_path, OTHER, {"k1": 9.0})
    with Home(tmp_path, clock=lambda: AT_S) as home:
        assert home.store.count() == 0
        move_store(home, owner(), options)
    assert spent_on_server(server, MONTH) == {"k1": 2.5} and spent_on_server(server, OTHER) == {}
    take_over_on_server(server, MONTH, {"k1": 4.0, "k3": 0.5})
    lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
    (tmp_path / "config.toml").write_text(f'[store]\nkind = "postgres"\n[store.options]\n{lines}\n')
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"store.db{suffix}").unlink(missing_ok=True)
    with Home(tmp_path, clock=lambda: AT_S) as home:
        move_store_back(home, owner())
    assert spent_in_home(tmp_path, MONTH) == {"k1": 4.0, "k3": 0.5}
    assert spent_in_home(tmp_path, OTHER) == {"k1": 9.0}
