"""SQL by name: every file is complete SQL, without its comments."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

import pytest

from deputize.store.sql import load_queries

NAMES = sorted(
    name.removesuffix(".sql")
    for name in (p.name for p in files("deputize.store.sql").iterdir())
    if name.endswith(".sql") and not name.startswith("postgres")  # those: test_postgres_schema.py
)


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_is_sql_over_its_schema(name: str) -> None:
    queries = load_queries(name)
    db = sqlite3.connect(":memory:")
    db.executescript(queries.pop("schema") + ";")
    assert queries
    for query in queries.values():
        assert "--" not in query
        db.execute(f"EXPLAIN {query}", _parameters(query))
    db.close()


def _parameters(query: str) -> dict[str, int] | tuple[int, ...]:
    import re

    named = re.findall(r":(\w+)", query)
    return dict.fromkeys(named, 0) if named else (0,) * query.count("?")
