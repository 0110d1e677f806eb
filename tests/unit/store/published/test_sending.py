"""Folders that are sent before a version names them."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from deputize.core.errors import StoreError
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.buckets import FolderBucket
from deputize.store.published.sending import SentFolders


def test_a_folder_is_sent_once_as_it_is_and_what_no_version_names_is_removed(tmp_path: Path) -> None:
    bucket = FolderBucket(tmp_path / "bucket")
    sent = SentFolders(tmp_path, bucket, KeyRing.open(tmp_path, environ={}), "card")
    (tmp_path / "f" / "sub").mkdir(parents=True)
    (tmp_path / "f" / "card").write_text("one")
    (tmp_path / "f" / "sub" / "w").write_text("weights")
    sha256 = hashlib.sha256(b"one").hexdigest()
    assert sent.of("f", sha256) is None
    sent.send(["f"])
    sent.send(["f"])
    files = sent.of("f", sha256)
    assert files is not None and set(files) == {"card", "sub/w"} and len(bucket.names("objects")) == 2
    (tmp_path / "f" / "card").write_text("two")
    sent.send(["f"])
    assert sent.of("f", sha256) == files and len(bucket.names("objects")) == 4
    sent.settle({"g": {}})
    assert len(bucket.names("objects")) == 4, "of a folder that this version does not name"
    sent.settle({"f": files})
    assert sent.of("f", sha256) is None
    assert {f"objects/{name}" for name in bucket.names("objects")} == {found.name for found in files.values()}


class FullFolder(FolderBucket):
    """Has room for one object."""

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        if self.names("objects"):
            raise StoreError("the disk is full")
        return super().writing(name)


def test_a_folder_that_cannot_be_sent_to_its_end_is_not_there(tmp_path: Path) -> None:
    bucket = FullFolder(tmp_path / "bucket")
    sent = SentFolders(tmp_path, bucket, KeyRing.open(tmp_path, environ={}), "card")
    with pytest.raises(StoreError, match="cannot be read"):
        sent.send(["f"])
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "card").write_text("one")
    (tmp_path / "f" / "w").write_text("weights")
    with pytest.raises(StoreError, match="the disk is full"):
        sent.send(["f"])
    assert bucket.names("objects") == []
    with pytest.raises(StoreError, match="the disk is full"):
        sent.send(["f"])
