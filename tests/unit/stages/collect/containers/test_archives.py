"""Members of archives."""

from __future__ import annotations

import io
import zipfile

import pytest

from deputize.stages.collect.containers.archives import archive_of, members
from deputize.stages.collect.containers.decompress import Expansion, UnreadableFile


def test_a_zip_is_read_with_and_without_seeking() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"x")
        archive.writestr("folder/.hidden", b"y")
    assert archive_of(out.getvalue()) == "zip" and archive_of(b"{}") == ""
    for seekable in (io.BytesIO(out.getvalue()), None):
        found = [
            (name, stream.read())
            for name, stream in members("zip", io.BytesIO(out.getvalue()), seekable, Expansion())
        ]
        assert found == [("a", b"x")]


def test_a_damaged_archive_is_named() -> None:
    with pytest.raises(UnreadableFile, match="tar archive is damaged"):
        list(members("tar", io.BytesIO(b"x" * 600), None, Expansion()))
