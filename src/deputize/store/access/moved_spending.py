"""What API keys have spent this month, taken along when the calls of a home move to another kind of store.

A home keeps it in meter.db (`rate_limiter`), gateways that share a store in PostgreSQL keep it there
(`shared_limiter`). What processes have taken there and not yet given back counts as spent: too little is left then,
never too much.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from deputize.store.access.rate_limiter import RateLimiter
from deputize.store.postgres_connection import PostgresServer, connect, server_errors_in_words
from deputize.store.sql import load_queries

_SQL = load_queries("postgres_limits")
_WAIT_S = 60.0


def spent_in_home(home: Path, month: str) -> dict[str, float]:
    """US dollars of a month by the id of the API key, as HOME/meter.db has them. Raises StoreError."""
    if not (home / "meter.db").exists():
        return {}
    with contextlib.closing(RateLimiter(home)) as limiter:
        return limiter.spent_in(month)


def take_over_in_home(home: Path, month: str, spent: Mapping[str, float]) -> None:
    """Writes into HOME/meter.db what keys have spent in a month, in the place of what it says of them. Raises
    StoreError."""
    if spent:
        with contextlib.closing(RateLimiter(home)) as limiter:
            limiter.replace_spent(month, spent)


def spent_on_server(server: PostgresServer, month: str) -> dict[str, float]:
    """US dollars of a month by the id of the API key, as taken by the gateways of a store. Raises StoreError."""
    with (
        server_errors_in_words(server, _WAIT_S),
        contextlib.closing(connect(server, _WAIT_S)) as db,
        db.transaction(),
    ):
        return {str(key): float(usd) for key, usd in db.execute(_SQL["all_taken_usd"], {"month": month})}


def take_over_on_server(server: PostgresServer, month: str, spent: Mapping[str, float]) -> None:
    """Writes into the tables of a store what keys have spent in a month. Raises StoreError."""
    with (
        server_errors_in_words(server, _WAIT_S),
        contextlib.closing(connect(server, _WAIT_S)) as db,
        db.transaction(),
        db.cursor() as cursor,
    ):
        cursor.executemany(
            _SQL["put_taken_usd"], [{"key": key, "month": month, "usd": usd} for key, usd in spent.items()]
        )
