"""Rows of tables."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice

import pytest

from deputize.stages.collect.containers.decompress import (
    FREE_BYTES,
    TABLE_MAX_RATIO,
    ExpandsTooFar,
    Expansion,
    UnreadableFile,
)
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
        list(parquet_rows(io.BytesIO(b"PAR1 no"), None, Expansion()))
    with pytest.raises(UnreadableFile, match="Arrow file is damaged"):
        list(arrow_rows(io.BytesIO(b"ARROW1 no"), None, Expansion(), is_stream=False))


def test_a_line_of_any_length_is_not_held_whole() -> None:
    class Endless(io.RawIOBase):
        n_read = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.n_read += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    endless = Endless()
    with pytest.raises(UnreadableFile, match="cell"):
        list(csv_rows(io.BufferedReader(endless), b"a,b\n", 100_000))
    assert endless.n_read < 1_000_000


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrow_stream"])
def test_a_small_table_that_stands_for_far_more_text_than_logs_do_is_given_up(form: str) -> None:
    """One text in a dictionary, which a hundred thousand rows name."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import ipc, parquet

    text = "x" * 100_000
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array([text]))
    table, out = pa.table({"a": once}), io.BytesIO()
    if form == "parquet":
        parquet.write_table(table, out, compression="zstd")
    else:
        options = ipc.IpcWriteOptions(compression="zstd")
        make = ipc.new_stream if form == "arrow_stream" else ipc.new_file
        with make(out, table.schema, options=options) as writer:
            writer.write_table(table)
    data = out.getvalue()
    stream, n_chars = io.BytesIO(data), 0
    expansion = Expansion(len(data))
    rows = (
        parquet_rows(stream, stream, expansion)
        if form == "parquet"
        else arrow_rows(stream, stream, expansion, is_stream=form == "arrow_stream")
    )
    with pytest.raises(ExpandsTooFar):
        for row in rows:
            n_chars += len(row["a"])
    assert FREE_BYTES - len(text) <= n_chars <= max(FREE_BYTES, TABLE_MAX_RATIO * len(data))
    whole = Expansion(len(data), is_bounded=False)
    rows = parquet_rows(io.BytesIO(data), None, whole) if form == "parquet" else iter(())
    assert form != "parquet" or sum(len(row["a"]) for row in islice(rows, 1000)) == 1000 * len(text)
