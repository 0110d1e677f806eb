"""Layers of compression."""

from __future__ import annotations

import gzip
import io

import pytest

from deputize.stages.collect.containers.decompress import (
    UnreadableFile,
    compression_of,
    damages,
    decompressed,
    with_head,
)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"BZh9", "bzip2"),
        (b"BZhello", ""),
        (b"\x50\x2a\x4d\x18", "zstd"),
        (b"{", ""),
    ],
)
def test_compression_is_told_by_the_first_bytes(head: bytes, kind: str) -> None:
    assert compression_of(head) == kind


def test_all_layers_are_taken_off_but_not_endlessly() -> None:
    data = b"plain"
    for _ in range(4):
        data = gzip.compress(data)
    head, stream, packed = decompressed(io.BytesIO(data))
    assert (head, stream.read(), packed) == (b"plain", b"plain", True)
    with pytest.raises(UnreadableFile, match="more than 4 times"):
        decompressed(io.BytesIO(gzip.compress(data)))


def test_a_head_is_read_and_given_back() -> None:
    head, stream = with_head(io.BytesIO(b"abcdef"), 3)
    assert head == b"abc" and stream.read() == b"abcdef"
    assert EOFError in damages()
