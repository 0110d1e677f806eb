"""The protocol of stores: every store has all of its methods."""

from __future__ import annotations

import pytest

from deputize.store.access.audited_store import AuditedStore
from deputize.store.base import Store
from deputize.store.memory import MemoryStore
from deputize.store.sqlite import SqliteStore


@pytest.mark.parametrize("kind", [MemoryStore, SqliteStore, AuditedStore])
def test_every_store_has_every_method(kind: type) -> None:
    wanted = {name for name in vars(Store) if not name.startswith("_")}
    assert len(wanted) == 17 and wanted <= set(dir(kind))
