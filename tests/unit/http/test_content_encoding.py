"""Decompression of bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from deputize.core.errors import UpstreamError
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


@pytest.mark.parametrize("n_pieces", [1, 7, 1000])
def test_what_unpacks_to_far_more_than_text_does_is_refused(n_pieces: int) -> None:
    """Long before the limit: some 50 KB that would become 50 MB."""
    bomb = gzip.compress(b"a" * 50_000_000, mtime=0)
    decompress, n_out = decompressor("gzip"), 0
    step = -(-len(bomb) // n_pieces)
    with pytest.raises(UpstreamError, match="unpacks to more"):
        for start in range(0, len(bomb), step):
            n_out += len(decompress(bomb[start : start + step]))
    assert n_out <= 100 * len(bomb)


def test_all_pieces_together_have_a_limit() -> None:
    text = bytes(range(256)) * 1000
    packed = zlib.compress(text, 0)
    assert decompressor("deflate", len(text))(packed) == text
    with pytest.raises(UpstreamError):
        decompressor("deflate", len(text) - 1)(packed)
