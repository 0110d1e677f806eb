"""Decompression of bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from deputize.http.content_encoding import decompressor


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress(b"words", mtime=0)), ("deflate", zlib.compress(b"words"))]
)
def test_pieces_are_decompressed(encoding: str, packed: bytes) -> None:
    decompress = decompressor(encoding)
    assert b"".join(decompress(packed[i : i + 3]) for i in range(0, len(packed), 3)) == b"words"


def test_what_cannot_be_decompressed_gives_nothing() -> None:
    assert decompressor("identity")(b"as it is") == b"as it is"
    assert decompressor("br")(b"x") == b"" and decompressor("gzip")(b"no gzip") == b""
