"""Lines of log files: plain, gzip, arrays; damaged and too long ones are named."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.stages.collect.log_lines import check_readable, read_objects

ROW = {"a": "b"}


def reasons(path: Path, **options: Any) -> list[str]:
    return [
        f"{n}: {row.reason}" if isinstance(row, Skip) else f"{n}" for n, row in read_objects(path, **options)
    ]


def test_gzip_is_detected_by_content_and_a_cut_file_keeps_its_head(tmp_path: Path) -> None:
    plain = b"".join(json.dumps({"id": f"c{i}", "text": f"{i * 7919}"}).encode() + b"\n" for i in range(3000))
    path = tmp_path / "no-suffix"
    path.write_bytes(gzip.compress(plain))
    assert [row for _, row in read_objects(path)] == list(map(json.loads, plain.splitlines()))
    path.write_bytes(gzip.compress(plain)[:-2000])
    *head, last = reasons(path)
    assert len(head) > 100 and head == [str(n) for n in range(1, len(head) + 1)]
    assert last == f"{len(head) + 1}: the compressed data are damaged or cut off here"


def test_a_json_array_a_bom_and_empty_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([ROW, 3], indent=1).encode())
    assert reasons(path) == ["1", "2: not a JSON object"]
    path.write_text("\n\n" + json.dumps(ROW) + "\n\n")
    assert list(read_objects(path)) == [(3, ROW)]
    path.write_text("[1, 2")
    assert reasons(path) == ["1: starts like a JSON array but is not one"]


def test_a_line_that_is_too_long_is_skipped_and_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": "' + b"y" * 20_000_000 + b'"}\n' + json.dumps(ROW).encode() + b"\n{")
    tracemalloc.start()
    try:
        assert reasons(path, max_line_bytes=1000) == ["1: longer than 1000 bytes", "2", "3: not JSON"]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        list(read_objects(tmp_path / "none"))
    with pytest.raises(BadInput, match="cannot be read"):
        check_readable(tmp_path)
