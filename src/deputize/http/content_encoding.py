"""Decompression of bodies, piece by piece and within bounds: a few bytes can be made to unpack to millions."""

from __future__ import annotations

from collections.abc import Callable
from zlib import MAX_WBITS, decompressobj
from zlib import error as ZlibError

from deputize.core.errors import UpstreamError

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
_FREE_BYTES = 1024 * 1024
_MAX_RATIO = 100
"""Bytes that one byte may unpack to, beyond the first megabyte; text seldom gets to 20."""


def decompressor(encoding: str, max_bytes: int = MAX_UNPACKED_BYTES) -> Callable[[bytes], bytes]:
    """A function that decompresses a body piece by piece; it returns b"" for pieces that cannot be decompressed.

    It raises UpstreamError where all pieces together unpack to more than `max_bytes`, or to far more than text does.

    Args:
        encoding: the content-encoding: identity, gzip or deflate; every piece of any other one gives b"".
        max_bytes: limit of all pieces together, once unpacked.
    """
    if encoding == "identity":
        return lambda piece: piece
    if encoding not in ("gzip", "deflate"):
        return lambda piece: b""
    stream = decompressobj(MAX_WBITS | 32)
    n_in = n_out = 0

    def decompress(piece: bytes) -> bytes:
        nonlocal n_in, n_out
        n_in += len(piece)
        left = min(max_bytes, max(_FREE_BYTES, n_in * _MAX_RATIO)) - n_out
        try:
            out = stream.decompress(piece, max(0, left) + 1)
        except ZlibError:
            return b""
        n_out += len(out)
        if len(out) > left:
            raise UpstreamError("The upstream's compressed answer unpacks to more than an answer may be.")
        return out

    return decompress
