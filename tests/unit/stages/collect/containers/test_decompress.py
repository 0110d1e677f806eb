"""Layers of compression."""

from __future__ import annotations

import gzip
import io
import lzma

import pytest
import zstandard

from deputize.stages.collect.containers.decompress import (
    FREE_BYTES,
    MAX_RATIO,
    ExpandsTooFar,
    Expansion,
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
    head, stream, packed = decompressed(io.BytesIO(data), Expansion())
    assert (head, stream.read(), packed) == (b"plain", b"plain", True)
    with pytest.raises(UnreadableFile, match="more than 4 times"):
        decompressed(io.BytesIO(gzip.compress(data)), Expansion())


def test_a_head_is_read_and_given_back() -> None:
    head, stream = with_head(io.BytesIO(b"abcdef"), 3)
    assert head == b"abc" and stream.read() == b"abcdef"
    assert EOFError in damages()


FRAMES = (
    zstandard.compress(b"one\n") + b"\x50\x2a\x4d\x18\x02\x00\x00\x00hi" + zstandard.compress(b"two\n" * 9000)
)


def test_zstd_frames_follow_one_another() -> None:
    assert decompressed(io.BytesIO(FRAMES), Expansion())[1].read() == b"one\n" + b"two\n" * 9000


@pytest.mark.parametrize("n_missing", [1, 4, 9])
def test_a_zstd_file_that_was_cut_off_says_so(n_missing: int) -> None:
    with pytest.raises(EOFError):
        decompressed(io.BytesIO(FRAMES[:-n_missing]), Expansion())[1].read()


def test_lzmas_older_file_format_is_read() -> None:
    assert decompressed(io.BytesIO(lzma.compress(b"old", lzma.FORMAT_ALONE)), Expansion())[1].read() == b"old"


def test_a_file_may_expand_to_a_share_of_its_size() -> None:
    expansion = Expansion(FREE_BYTES)
    expansion.unpacked(MAX_RATIO * FREE_BYTES)
    with pytest.raises(ExpandsTooFar, match=f"more than {MAX_RATIO} times its size"):
        expansion.unpacked(1)
    expansion.read(1)
    expansion.unpacked(1)
    Expansion().unpacked(FREE_BYTES)
    with pytest.raises(ExpandsTooFar):
        Expansion().unpacked(FREE_BYTES + 1)
    wider = Expansion(FREE_BYTES)
    wider.enter("xz")
    wider.unpacked(MAX_RATIO * FREE_BYTES + 1)
    Expansion(is_bounded=False).unpacked(10 * FREE_BYTES)
