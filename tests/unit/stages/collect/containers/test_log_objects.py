"""Objects of log files: plain, packed, arrays, documents, tables; damaged and too long ones are named."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.stages.collect.containers.log_files import LogFile, find_log_files
from deputize.stages.collect.containers.log_objects import read_objects, read_path

ROW = {"a": "b"}
LINES = b'{"n": 1}\n{"n": 2}\n'
TWO = [{"n": 1}, {"n": 2}]


def values(path: Path, **options: Any) -> list[Any]:
    return [found.value for found in read_path(path, **options)]


def reasons(path: Path, **options: Any) -> list[str]:
    return [
        f"{found.line}: {found.value.reason}" if isinstance(found.value, Skip) else f"{found.line}"
        for found in read_path(path, **options)
    ]


def tar_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        gzip.compress(LINES[:9]) + gzip.compress(LINES[9:]),
        gzip.compress(gzip.compress(LINES)),
        bz2.compress(LINES),
        lzma.compress(LINES),
        zstandard.ZstdCompressor().compress(LINES),
        zip_of({"a": LINES}),
        zip_of({"a": LINES[:9], "b": LINES[9:]}, zipfile.ZIP_STORED),
        tar_of(a=LINES[:9], b=LINES[9:]),
        gzip.compress(tar_of(a=LINES)),
        tar_of(a=zip_of({"b": gzip.compress(LINES)})),
        b"\xef\xbb\xbf" + LINES,
        LINES.decode().encode("utf-16"),
        LINES.decode().encode("utf-16-be"),
        LINES.replace(b"\n", b"\r\n"),
        LINES.replace(b"\n", b"\r"),
        LINES.replace(b"\n", b""),
        b"\x1e" + LINES.replace(b"\n", b"\n\x1e"),
        json.dumps(TWO).encode(),
        json.dumps(TWO, indent=2).encode(),
        b"\n\n" + json.dumps(TWO, indent=2).encode(),
        b'[{"n": 1},\n{"n": 2},\n]',
        b'[{"n": 1}]\n[{"n": 2}]\n',
        b"\n".join(json.dumps(row, indent=1).encode() for row in TWO),
        b"# a comment\n// another\n" + LINES,
        b'2025-01-01 INFO {"n": 1}\n2025-01-01 INFO {"n": 2}\n',
    ],
)
def test_the_same_objects_come_out_of_every_container(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert values(path) == TWO


def test_gzip_is_detected_by_content_and_a_cut_file_keeps_its_head(tmp_path: Path) -> None:
    plain = b"".join(json.dumps({"id": f"c{i}", "text": f"{i * 7919}"}).encode() + b"\n" for i in range(3000))
    path = tmp_path / "no-suffix"
    path.write_bytes(gzip.compress(plain))
    assert values(path) == list(map(json.loads, plain.splitlines()))
    path.write_bytes(gzip.compress(plain)[:-2000])
    *head, last = reasons(path)
    assert len(head) > 100 and head == [str(n) for n in range(1, len(head) + 1)]
    assert last == f"{len(head) + 1}: the compressed data are damaged or cut off here"


def test_one_bad_item_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"n": 1}, {"n": 2}')
    assert reasons(path) == ["1", "2", "3: the array is cut off here"]
    path.write_text('[{"n": 1}, {"n": nonsense}, 3, {"n": 2}, {"n": ')
    assert reasons(path) == [
        "1",
        "2: not JSON",
        "3: not a JSON object",
        "4",
        "5: not JSON: the file is cut off inside this value",
    ]


def test_nan_and_halves_of_surrogates_cost_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": NaN, "m": -Infinity}\n{"t": "x\\ud83d"}\n{"t": "\xe9"}\n')
    found = values(path)
    assert found[:2] == [{"n": None, "m": None}, {"t": "x�"}]
    assert isinstance(found[2], Skip) and found[2].reason.startswith("not UTF-8")


def test_a_line_that_is_too_long_is_skipped_and_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        json.dumps(ROW).encode()
        + b'\n{"x": "'
        + b"y" * 20_000_000
        + b'"}\n'
        + json.dumps(ROW).encode()
        + b"\n{"
    )
    tracemalloc.start()
    try:
        assert reasons(path, max_value_bytes=1000) == ["1", "2: longer than 1000 bytes", "3", "4: not JSON"]
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_an_item_that_is_too_long_is_skipped_and_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    text = b'{"x": "' + b'y\\"' * 8_000_000 + b'", "z": [' + b'{"a": 1},' * 10000 + b"1]}"
    path.write_bytes(b'[{"a": "b"},' + text + b',{"a": "b"}]')
    tracemalloc.start()
    try:
        assert reasons(path, max_value_bytes=1000) == ["1", "2: longer than 1000 bytes", "3"]
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_records_of_a_large_document_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = [{"n": n, "text": "x" * 50} for n in range(500)]
    path.write_text(json.dumps({"session": "s", "data": rows, "more": 1}))
    found = list(read_path(path, max_value_bytes=5000))
    assert [one.value for one in found] == rows and {one.around["session"] for one in found} == {"s"}
    path.write_text(json.dumps({"x": ["y" * 9000]}))
    assert "no list of records" in reasons(path, max_value_bytes=5000)[0]


def test_archives_are_read_member_by_member_and_a_bad_one_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(
        zip_of({"a.jsonl": LINES, "b.png": b"\x89PNG...", "c.jsonl": LINES, "__MACOSX/._a": b"junk"})
    )
    found = list(read_path(path))
    assert [(one.file, one.line) for one in found] == [
        ("x.zip!a.jsonl", 1),
        ("x.zip!a.jsonl", 2),
        ("x.zip!b.png", 0),
        ("x.zip!c.jsonl", 1),
        ("x.zip!c.jsonl", 2),
    ]


def test_a_table_becomes_objects(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"n": [1, 2], "m": [[{"role": "user", "x": None}], None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", table.schema) as out:
        out.write(table)
    with pyarrow.ipc.new_stream(tmp_path / "b.arrow", table.schema) as stream:
        stream.write(table)
    for name in ("a.parquet", "a.arrow", "b.arrow"):
        assert values(tmp_path / name) == [{"n": 1, "m": [{"role": "user"}]}, {"n": 2}]
    (tmp_path / "a.csv").write_text('n;text\n1;"a\nb"\n2;\n')
    assert values(tmp_path / "a.csv") == [{"n": "1", "text": "a\nb"}, {"n": "2"}]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page, not a log"),
        (b"version https://git-lfs.github.com/spec/v1\noid x", "git-lfs pointer"),
        (b"PK\x03\x04 broken", "starts like a zip archive"),
        (zip_of({"[Content_Types].xml": b"<x/>", "xl/a.xml": b"<x/>"}), "office program"),
        (bytes(range(256)) * 4, "binary data of an unknown kind"),
        (b"Dear diary, today was fine.\n", "text in no form that is read"),
        (b"{'n': 1}\n", "Python's own notation"),
        (
            gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(LINES))))),
            "more than 4 times",
        ),
        (b"SQLite format 3\x00", "SQLite"),
        (b'data: {"choices": []}\n\n', "server-sent events without the request"),
    ],
)
def test_what_is_no_log_is_named(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    (found,) = values(path)
    assert isinstance(found, Skip) and reason in found.reason


RECORDS = b'{"n": "%s"}\n' % (b"1" * 10_000) * 600
"""Long records: the bound is on bytes, and each record before it is parsed."""


def _zipped(*members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(members):
            archive.writestr(f"{number}.jsonl", data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(RECORDS),
        zstandard.compress(RECORDS),
        bz2.compress(RECORDS),
        lzma.compress(RECORDS),
        _zipped(RECORDS),
        # none of these members goes too far by itself
        _zipped(*[RECORDS[:500_100]] * 8),
        _zipped(gzip.compress(RECORDS)),
    ],
    ids=["gz", "zst", "bz2", "xz", "zip", "zip of many", "gz in zip"],
)
@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_bomb_is_refused(
    data: bytes, is_pipe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deputize.stages.collect.containers.decompress.FREE_BYTES", 1_000_000)
    path = tmp_path / "x"
    path.write_bytes(data)
    file = (
        LogFile("x", lambda: _pipe(data), address=str(path)) if is_pipe else find_log_files([path]).files[0]
    )
    n_read = 0
    with pytest.raises(BadInput, match=r"unpacks to more than [12]00 times its size.*--unpack-all"):
        for _ in read_objects(file):
            n_read += 1
    assert 0 < n_read < 600
    n_all = sum(1 for _ in read_objects(file, unpack_all=True))
    assert n_all >= 400 and n_all > n_read


class _Pipe(io.RawIOBase):
    """Bytes that cannot be sought in."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._inner.readinto(buffer)


def _pipe(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(_Pipe(data))


def test_references_in_yaml_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n---\n- b: 2\n")
    assert values(path) == [{"a": 1}, {"b": 2}]
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 150)}]" for n in range(1, 9))]
    path.write_text("\n".join(lines))
    assert "references" in values(path)[0].reason


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        list(read_path(tmp_path / "none"))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 1000 + LINES,  # a log that was rotated by cutting it
        b"\n" * 1000 + LINES,
        b"\n".join(json.dumps(line.decode()).encode() for line in LINES.splitlines()),
    ],
)
def test_padding_and_json_in_json_cost_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    assert values(path) == TWO


def test_a_number_of_thousands_of_digits_costs_no_other_field(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": "b", "n": ' + b"9" * 5000 + b"}\n")
    assert values(path) == [{**ROW, "n": None}]


def test_yaml_that_begins_like_an_event_stream_is_yaml(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"id: 1\na: b\n---\nid: 2\n")
    assert values(path) == [{"id": 1, "a": "b"}, {"id": 2}]
