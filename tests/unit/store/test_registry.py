"""Stores by name: ours, and a user's; those that are none are said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import postgres_cluster

from deputize.core.errors import BadInput
from deputize.store.keys.keyring import KeyRing
from deputize.store.registry import BUILT_IN, StoreContext, make_store


def place(folder: Path) -> StoreContext:
    return StoreContext(folder, KeyRing.open(folder, environ={}), {}, 1.0, lambda: 5.0)


@pytest.mark.parametrize("kind", [*BUILT_IN, "tests.a_users_store:build"])
def test_a_store_is_made_by_its_name(kind: str, tmp_path: Path) -> None:
    options = postgres_cluster.options_for(tmp_path) if kind == "postgres" else {}
    store = make_store(kind, place(tmp_path)._replace(options=options))
    assert store.count() == 0 and store.erase("o_x").erased_at == 5.0, "with the clock it was given"
    store.close()


@pytest.mark.parametrize("kind", ["slate", "tests.a_users_store:nothing", "no.such.module:build"])
def test_a_name_of_no_store_is_said(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=kind.partition(":")[0]):
        make_store(kind, place(tmp_path))
