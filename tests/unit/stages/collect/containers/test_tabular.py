"""Rows of tables."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from deputize.stages.collect.containers.decompress import UnreadableFile
from deputize.stages.collect.containers.tabular import arrow_rows, as_json, csv_rows, parquet_rows


def test_values_of_tables_become_json() -> None:
    given = {
        "t": datetime(2025, 1, 2, tzinfo=UTC),
        "m": [("k", 1), ("l", None)],
        "d": Decimal("1.5"),
        "n": None,
        "b": b"x",
    }
    assert as_json(given) == {"t": "2025-01-02T00:00:00+00:00", "m": {"k": 1, "l": None}, "d": 1.5, "b": b"x"}


def test_a_long_cell_is_read_and_an_endless_one_given_up() -> None:
    data = b'a,b\n"' + b"x" * 300_000 + b'",2\n'
    assert [len(row["a"]) for _, row in csv_rows(io.BytesIO(data), data[:100], 10**6)] == [300_000]
    with pytest.raises(UnreadableFile, match="cell"):
        list(csv_rows(io.BytesIO(data), data[:100], 1000))


def test_damaged_tables_are_named() -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(UnreadableFile, match="Parquet file is damaged"):
        list(parquet_rows(io.BytesIO(b"PAR1 no"), None))
    with pytest.raises(UnreadableFile, match="Arrow file is damaged"):
        list(arrow_rows(io.BytesIO(b"ARROW1 no"), None, is_stream=False))
