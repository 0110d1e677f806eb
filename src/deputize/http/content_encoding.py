"""Decompression of bodies, piece by piece and within bounds: a few bytes can be made to unpack to millions."""

from __future__ import annotations

from collections.abc import Callable
from zlib import MAX_WBITS, decompressobj
from zlib import error as ZlibError

import zstandard

from deputize.core.errors import BadInput, RequestTooLarge, UnsupportedMediaType, UpstreamError

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
_FREE_BYTES = 1024 * 1024
_MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""Of a zstd frame: what every decoder should take, and no more."""
_ZSTD_STEP_BYTES = 64
_READS = ("gzip", "deflate", "zstd")
_MAX_RATIO = 100
"""Bytes that one byte may unpack to, beyond the first megabyte; text seldom gets to 20."""


def decompressor(encoding: str, max_bytes: int = MAX_UNPACKED_BYTES) -> Callable[[bytes], bytes]:
    """A function that decompresses a body piece by piece; it returns b"" for pieces that cannot be decompressed.

    It raises UpstreamError where all pieces together unpack to more than `max_bytes`, or to far more than text does.

    Args:
        encoding: the content-encoding: identity, gzip, deflate or zstd; every piece of any other one gives b"".
        max_bytes: limit of all pieces together, once unpacked.
    """
    if encoding == "identity":
        return lambda piece: piece
    if encoding == "zstd":
        return _zstd(max_bytes)
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


def _zstd(max_bytes: int) -> Callable[[bytes], bytes]:
    stream = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj(
        read_across_frames=True
    )
    n_in = n_out = 0

    def decompress(piece: bytes) -> bytes:
        nonlocal n_in, n_out
        out: list[bytes] = []
        # this decoder takes no limit, and four bytes may unpack to 128 KB: so it gets little at a time
        for start in range(0, len(piece), _ZSTD_STEP_BYTES):
            part = piece[start : start + _ZSTD_STEP_BYTES]
            try:
                out.append(stream.decompress(part))
            except zstandard.ZstdError:
                return b""
            n_in += len(part)
            n_out += len(out[-1])
            if n_out > min(max_bytes, max(_FREE_BYTES, n_in * _MAX_RATIO)):
                raise UpstreamError("The upstream's compressed answer unpacks to more than an answer may be.")
        return b"".join(out)

    return decompress


def unpack_request(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body of a request without its compression.

    Args:
        body: as it came.
        encoding: its content-encoding; several are undone from the last to the first.
        max_bytes: limit of what it unpacks to.

    Raises:
        UnsupportedMediaType: an encoding that is not read here.
        RequestTooLarge: it unpacks to more than `max_bytes`.
        BadInput: it is damaged.
    """
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(names) > 2 or not all(name.removeprefix("x-") in _READS for name in names):
        raise UnsupportedMediaType(
            f"The content-encoding {encoding[:60]!r} of the request is not read here; use {', '.join(_READS)} or none."
        )
    for name in reversed(names):
        body = _unpacked(body, name.removeprefix("x-"), max_bytes)
    return body


def _unpacked(body: bytes, name: str, max_bytes: int) -> bytes:
    try:
        if name == "zstd":
            reader = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            out = reader.stream_reader(body, read_across_frames=True).read(max_bytes + 1)
            whole = bool(out) or not body
        else:
            try:
                stream = decompressobj(MAX_WBITS | 32)
                out = stream.decompress(body, max_bytes + 1)
            except ZlibError:  # deflate without its wrapping, as some clients write it
                stream = decompressobj(-MAX_WBITS)
                out = stream.decompress(body, max_bytes + 1)
            whole = stream.eof or len(out) > max_bytes
    except (ZlibError, zstandard.ZstdError):
        raise BadInput(
            f"The request body is not in the {name} encoding that it is declared to be in."
        ) from None
    if len(out) > max_bytes:
        raise RequestTooLarge(f"The request body unpacks to more than {max_bytes / 1024 / 1024:g} MB.")
    if not whole:
        raise BadInput(f"The request body ends before its {name} encoding does.")
    return out
