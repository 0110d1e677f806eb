"""Object stores by address."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, MissingExtra, StoreError
from deputize.store.published.buckets import FolderBucket, open_bucket


def test_a_folder_keeps_objects_and_writes_a_name_once(tmp_path: Path) -> None:
    bucket = open_bucket(f"file://{tmp_path}/a%20b")
    assert bucket.address == f"file://{tmp_path}/a b"
    assert bucket.read("p/1") is None and bucket.names("p") == []
    assert bucket.create("p/1", b"one") and not bucket.create("p/1", b"two")
    assert bucket.create("p/1", b"one"), "its own write, whose answer was lost"
    assert bucket.read("p/1") == b"one"
    with bucket.writing("p/2") as out:
        out.write(b"th")
        assert bucket.names("p") == ["1"], "nothing is there before all of it is"
        out.write(b"ree")
    assert bucket.names("p") == ["1", "2"]
    with bucket.reading("p/2") as file:
        assert (file.read(2), file.read(9), file.read(1)) == (b"th", b"ree", b"")
    with pytest.raises(FileNotFoundError), bucket.reading("p/3"):
        pass
    with pytest.raises(RuntimeError, match="stop"), bucket.writing("p/3") as out:
        out.write(b"half")
        raise RuntimeError("stop")
    bucket.remove("p/2")
    bucket.remove("p/2")
    assert bucket.names("p") == ["1"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bucket = FolderBucket(tmp_path / "file")
    for use in (
        lambda: bucket.read("p/1"),
        lambda: bucket.names("p"),
        lambda: bucket.remove("p/1"),
        lambda: bucket.reading("p/1").__enter__(),
    ):
        with pytest.raises(StoreError, match=f"file://{tmp_path}/file cannot be used now"):
            use()


@pytest.mark.parametrize("url", ["", "shared", "s3://", "ftp://a/b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"\[objects\] url"):
        open_bucket(url)


def test_a_driver_that_is_not_installed_is_named_with_its_install_line() -> None:
    if find_spec("s3fs") is not None:
        pytest.skip("s3fs is installed here")
    with pytest.raises(MissingExtra, match=r"pip install 'deputize\[cloud\]'"):
        open_bucket("s3://bucket/folder")
