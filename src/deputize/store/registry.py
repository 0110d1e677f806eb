"""The kinds of stores by name: our own, and those that other packages offer.

sqlite, postgres, memory    ours
NAME                        an entry point of the group "deputize.stores": a function that takes a `StoreContext` and
returns a store module:attribute            likewise, from any module that can be imported

`[store] kind = "..."` in config.toml chooses it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, cast

from deputize.core.errors import BadInput
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing

GROUP = "deputize.stores"


class StoreContext(NamedTuple):
    """Arguments a store is opened with."""

    folder: Path
    """The home folder. A store that keeps its data there names its files store.*; others need not use it."""
    keyring: KeyRing
    """Keys of the home, for encryption at rest and for lookups."""
    options: dict[str, Any]
    """`[store.options]` of config.toml."""
    busy_timeout_s: float
    """How long to wait for another writer before StoreError."""
    clock: Callable[[], float]
    """Unix seconds."""


StoreBuilder = Callable[[StoreContext], Store]
"""Opens a store, making it on first use. Raises StoreError where that cannot be done."""

BUILT_IN: dict[str, str] = {
    "sqlite": "deputize.store.sqlite:build",
    "postgres": "deputize.store.postgres:build",
    "memory": "deputize.store.memory:build",
}
"""Kind -> module:function; imported when it is asked for."""


def make_store(kind: str, place: StoreContext) -> Store:
    """The store of that kind, open.

    Raises:
        BadInput: there is no such kind, or it cannot be imported.
        StoreError: it cannot be opened.
    """
    return _builder(kind)(place)


def _builder(kind: str) -> StoreBuilder:
    try:
        if kind in BUILT_IN:
            module, _, name = BUILT_IN[kind].partition(":")
            return cast(StoreBuilder, getattr(importlib.import_module(module), name))
        for point in entry_points(group=GROUP, name=kind):
            return cast(StoreBuilder, point.load())
        module, colon, name = kind.partition(":")
        if colon:
            return cast(StoreBuilder, getattr(importlib.import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The store {kind!r} cannot be loaded: {error}.") from error
    known = sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})
    raise BadInput(
        f"[store] kind: {kind!r} is not a store here; there are {', '.join(known)}; or name one as module:attribute."
    )
