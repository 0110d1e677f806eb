"""Decompression of bodies."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from deputize.core.errors import BadInput, RequestTooLarge, UnsupportedMediaType, UpstreamError
from deputize.http.content_encoding import decompressor, unpack_request


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
@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor(level=1).compress)]
)
def test_what_unpacks_to_far_more_than_text_does_is_refused(
    encoding: str, pack: Callable[[bytes], bytes], n_pieces: int
) -> None:
    """Long before the limit: a few KB that would become 50 MB; and no more than that is held meanwhile."""
    bomb = pack(b"a" * 50_000_000)
    decompress, n_out = decompressor(encoding), 0
    step = -(-len(bomb) // n_pieces)
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamError, match="unpacks to more"):
            for start in range(0, len(bomb), step):
                n_out += len(decompress(bomb[start : start + step]))
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
    assert n_out <= max(1 << 20, 100 * len(bomb))


def test_all_pieces_together_have_a_limit() -> None:
    text = bytes(range(256)) * 1000
    packed = zlib.compress(text, 0)
    assert decompressor("deflate", len(text))(packed) == text
    with pytest.raises(UpstreamError):
        decompressor("deflate", len(text) - 1)(packed)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("gzip, zstd", lambda data: zstandard.ZstdCompressor().compress(gzip.compress(data))),
        ("identity", bytes),
    ],
)
def test_requests_are_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert unpack_request(pack(b'{"a":1}'), encoding, 100) == b'{"a":1}'
    if encoding != "identity":
        with pytest.raises(RequestTooLarge, match="unpacks to more"):
            unpack_request(pack(b"a" * 1000), encoding, 100)
        with pytest.raises(BadInput, match=r"not in the|ends before"):
            unpack_request(pack(b'{"a":1}' * 9)[:9], encoding, 100)


def test_an_encoding_that_is_not_read_is_named() -> None:
    with pytest.raises(UnsupportedMediaType, match=r"'br'.*gzip, deflate, zstd"):
        unpack_request(b"x", "br", 100)


def test_a_zstd_answer_is_unpacked_piece_by_piece_within_bounds() -> None:
    packed = zstandard.ZstdCompressor().compress(b"words")
    decompress = decompressor("zstd")
    assert b"".join(decompress(packed[i : i + 3]) for i in range(0, len(packed), 3)) == b"words"
    with pytest.raises(UpstreamError):
        decompressor("zstd", 10)(zstandard.ZstdCompressor().compress(b"a" * 100))
