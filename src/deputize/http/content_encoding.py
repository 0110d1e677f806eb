"""Decompression of bodies, piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from zlib import MAX_WBITS, decompressobj
from zlib import error as ZlibError

_MAX_OUTPUT_BYTES = 64 * 1024 * 1024
"""Of one piece, so that a few compressed bytes cannot fill the memory."""


def decompressor(encoding: str) -> Callable[[bytes], bytes]:
    """A function that decompresses a body piece by piece; it returns b"" for pieces that cannot be decompressed.

    Args:
        encoding: the content-encoding: identity, gzip or deflate; every piece of any other one gives b"".
    """
    if encoding == "identity":
        return lambda piece: piece
    if encoding not in ("gzip", "deflate"):
        return lambda piece: b""
    stream = decompressobj(MAX_WBITS | 32)

    def decompress(piece: bytes) -> bytes:
        try:
            return stream.decompress(piece, _MAX_OUTPUT_BYTES)
        except ZlibError:
            return b""

    return decompress
