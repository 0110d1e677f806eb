"""Files behind paths: folders with subfolders, links, standard input."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from deputize.core.errors import BadInput
from deputize.stages.collect.containers.log_files import (
    check_readable,
    find_log_files,
    open_log,
    shown_name,
)


def test_a_folder_stands_for_all_below_it_and_links_are_followed_once(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/2025/c.log", "a/d.json.gz", ".hidden/e.jsonl", ".f.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = find_log_files([tmp_path])
    assert [file.name for file in found.files] == ["a/2025/c.log", "a/d.json.gz", "b.jsonl"]
    assert sorted(found.hidden) == [".f.jsonl", ".hidden"]


def test_an_empty_folder_and_a_missing_file_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no log"):
        find_log_files([tmp_path])
    (file,) = find_log_files([tmp_path / "none"]).files
    with pytest.raises(BadInput, match=r"none does not exist\.$"):
        check_readable(file)


def test_standard_input_is_read_without_seeking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"some bytes")))
    (file,) = find_log_files(["-"]).files
    check_readable(file)
    assert open_log(file).read() == b"some bytes"


def test_addresses_are_read_through_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/logs/a.jsonl": b"{}", "/bucket/logs/2025/b.jsonl": b'{"b": 1}'})
    found = find_log_files(["memory://bucket/logs"]).files
    assert [file.name for file in found] == ["2025/b.jsonl", "a.jsonl"]
    assert open_log(found[0]).read() == b'{"b": 1}'
    with pytest.raises(BadInput, match="holds no file"):
        find_log_files(["memory://bucket/none"])
    with pytest.raises(BadInput, match="cannot be read"):
        find_log_files(["nosuchprotocol://x"])


def test_names_can_be_printed_and_stored_and_the_file_is_found(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/a\xff\n\x1b[31m.jsonl"
    with open(raw, "wb") as file:  # noqa: PTH123 - a path cannot hold these bytes as they are
        file.write(b"{}")
    (file_,) = find_log_files([tmp_path]).files
    assert file_.name == "a\\xff\\n\\x1b[31m.jsonl" == shown_name(os.fsdecode(raw).rsplit("/", 1)[-1])
    with open_log(file_) as stream:
        assert stream.read() == b"{}" and shown_name("é") == "é"
