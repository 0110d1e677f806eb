"""Members of zip and tar archives, one after another, without unpacking to disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from deputize.stages.collect.containers.decompress import Counted, Expansion, UnreadableFile, buffered

MAX_ZIP_IN_MEMORY = 256 * 2**20
"""A zip that cannot be sought in (from a pipe, or inside another archive) is read whole up to this size."""
_NO_LOG = ("__MACOSX/", "._", "pax_global_header")
_OFFICE = "[Content_Types].xml"


def archive_of(head: bytes) -> str:
    """The kind of archive that begins with `head`: zip, tar or ""."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else ""


def members(
    kind: str, stream: BinaryIO, seekable: BinaryIO | None, expansion: Expansion
) -> Iterator[tuple[str, BinaryIO]]:
    """(name, stream) of each file in an archive; a stream has to be read before the next member is asked for.

    Args:
        kind: zip or tar.
        stream: the archive.
        seekable: the same archive where it can be sought in, None where it cannot.
        expansion: told what is unpacked of a zip.

    Raises:
        UnreadableFile: the archive is damaged, encrypted, too large, or a document of an office program.
    """
    yield from _tar_members(stream) if kind == "tar" else _zip_members(stream, seekable, expansion)


def _tar_members(stream: BinaryIO) -> Iterator[tuple[str, BinaryIO]]:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isfile() and not _is_no_log(member.name):
                    opened = archive.extractfile(member)
                    if opened is not None:
                        yield member.name, cast(BinaryIO, opened)
    except tarfile.TarError:
        raise UnreadableFile("the tar archive is damaged or cut off here") from None


def _zip_members(
    stream: BinaryIO, seekable: BinaryIO | None, expansion: Expansion
) -> Iterator[tuple[str, BinaryIO]]:
    if seekable is None:
        data = stream.read(MAX_ZIP_IN_MEMORY + 1)
        if len(data) > MAX_ZIP_IN_MEMORY:
            raise UnreadableFile("a zip of more than 256 MiB that cannot be sought in; unpack it first")
        seekable = io.BytesIO(data)
    try:
        archive = zipfile.ZipFile(seekable)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise UnreadableFile("starts like a zip archive, but is damaged or cut off") from None
    with archive:
        names = archive.namelist()
        if names[:1] == [_OFFICE] or any(name.startswith(("xl/", "word/")) for name in names):
            raise UnreadableFile("a document of an office program; save the table as CSV")
        for member in archive.infolist():
            if member.is_dir() or _is_no_log(member.filename):
                continue
            if member.flag_bits & 1:
                raise UnreadableFile("the zip archive is encrypted")
            try:
                opened = archive.open(member)
            except (zipfile.BadZipFile, NotImplementedError, OSError):
                raise UnreadableFile(
                    "the zip archive is damaged, or packed in a way that is not known"
                ) from None
            yield member.filename, buffered(Counted(cast(BinaryIO, opened), expansion.unpacked))


def _is_no_log(name: str) -> bool:
    return name.startswith(_NO_LOG) or name.rsplit("/", 1)[-1].startswith(".")
