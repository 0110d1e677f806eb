"""Object stores by address: a folder (file://) by itself, s3:// and gs:// through fsspec.

What is here is little: whole objects, written once under names of their own, and one write that fails where the name
is taken. That write is the compare-and-swap: a link for a folder, If-None-Match for S3, ifGenerationMatch for Google.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from deputize.core.errors import BadInput, DeputizeError, MissingExtra, StoreError
from deputize.files import reason, replaced, write_new

_TIMEOUT_S = 5
"""Seconds for a connection; a reading may take twice as long, and is tried three times. Freshness is counted elsewhere,
so patience gains nothing."""


_BLOCK = 8 << 20
"""Bytes of an object that are sent or fetched at once: an S3 object of 10,000 such blocks has 78 GiB."""


class Writes(Protocol):
    """A stream to an object."""

    def write(self, data: bytes, /) -> object:
        """Takes all of it."""
        ...


class Reads(Protocol):
    """A stream from an object."""

    def read(self, n_bytes: int, /) -> bytes:
        """So many bytes; fewer at the end."""
        ...


class Bucket(Protocol):
    """Objects below one address. Every method raises StoreError where the object store cannot be reached."""

    address: str

    def read(self, name: str) -> bytes | None:
        """An object; None where there is none of that name."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Writes an object unless the name is taken: of two writers at once exactly one gets True."""
        ...

    def writing(self, name: str) -> AbstractContextManager[Writes]:
        """A stream to an object whose name nobody else uses; it is there when the block has ended, and not at all where
        it fails."""
        ...

    def reading(self, name: str) -> AbstractContextManager[Reads]:
        """A stream from an object. Raises FileNotFoundError where there is none of that name."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the objects below a folder, sorted, the folder's name left out."""
        ...

    def remove(self, name: str) -> None:
        """Deletes an object; one that is gone already is no error."""
        ...


def open_bucket(url: str) -> Bucket:
    """The object store at an address.

    Raises:
        BadInput: no address of a kind that is known.
        MissingExtra: fsspec or its driver is not installed.
    """
    scheme, _, rest = url.partition("://")
    if not rest.strip("/"):
        raise BadInput(f"[objects] url: {url!r} is no address such as s3://bucket/folder or file:///folder.")
    if scheme == "file":
        return FolderBucket(Path(unquote(urlsplit(url).path)))
    if scheme not in ("s3", "gs"):
        raise BadInput(f"[objects] url: {scheme}:// is not known; s3://, gs:// and file:// are.")
    return RemoteBucket(url)


class FolderBucket:
    """A folder that all homes reach, such as a network file system."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.address = folder, f"file://{folder}"

    def read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure(error) from error

    def create(self, name: str, data: bytes) -> bool:
        # a network file system whose answer was lost says that the name is taken, by the very link that it made
        return write_new(self._folder / name, data) or self.read(name) == data

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        return replaced(self._folder / name)

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        try:
            file = (self._folder / name).open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._failure(error) from error
        with file:
            yield file

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(p.name for p in (self._folder / folder).iterdir() if not p.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failure(error) from error

    def remove(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(f"{self.address} cannot be used now: {reason(error)}.")


class RemoteBucket:
    """An object store that fsspec has a driver for."""

    def __init__(self, url: str) -> None:
        """Credentials and endpoints come from the environment, as the driver reads them. Raises as `open_bucket`."""
        self.address = url.rstrip("/")
        scheme, _, root = self.address.partition("://")
        self._root = root
        try:
            import fsspec

            self._store: Any = fsspec.filesystem(scheme, skip_instance_cache=True, **_options(scheme))
        except ImportError as error:
            raise MissingExtra.package(f"fsspec with its driver for {scheme}://", "cloud") from error
        if scheme == "s3":
            # the driver would try five times what the library below it has tried three times: 161 s
            self._store.retries = 1

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def read(self, name: str) -> bytes | None:
        with self._errors_in_words(), suppress(FileNotFoundError):
            return bytes(self._store.cat_file(self._path(name)))
        return None

    def create(self, name: str, data: bytes) -> bool:
        try:
            with self._errors_in_words():
                self._store.pipe_file(self._path(name), data, mode="create")
        except (StoreError, OSError):
            # drivers name a failed precondition in several ways, and an answer may have been lost: what is there tells
            found = self.read(name)
            if found is None:
                raise StoreError(
                    f"{self.address} cannot be written: {name} is not there afterwards."
                ) from None
            return found == data
        # a server that does not know the precondition would have let two homes write
        return self.read(name) == data

    @contextmanager
    def writing(self, name: str) -> Iterator[Writes]:
        # autocommit would make an object of what was written when the block fails
        with self._errors_in_words():
            out = self._store.open(self._path(name), "wb", block_size=_BLOCK, autocommit=False)
        try:
            yield _RemoteStream(out, self._errors_in_words)
            with self._errors_in_words():
                out.close()
                out.commit()
        except BaseException:
            with suppress(Exception):
                out.discard()
            out.closed = True  # else it is sent when it is collected
            raise

    @contextmanager
    def reading(self, name: str) -> Iterator[Reads]:
        with self._errors_in_words():
            file = self._store.open(self._path(name), "rb", block_size=_BLOCK, cache_type="readahead")
        with file:
            yield _RemoteStream(file, self._errors_in_words)

    def names(self, folder: str) -> list[str]:
        with self._errors_in_words(), suppress(FileNotFoundError):
            found = self._store.find(self._path(folder), refresh=True)
            return sorted(str(path).rsplit("/", 1)[-1] for path in found)
        return []

    def remove(self, name: str) -> None:
        with self._errors_in_words(), suppress(FileNotFoundError):
            self._store.rm_file(self._path(name))

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        try:
            yield
        except (DeputizeError, FileNotFoundError, FileExistsError):
            raise
        except Exception as error:  # each driver, and the library below it, has exceptions of its own
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StoreError(f"{self.address} cannot be used now: {what}.") from error


class _RemoteStream:
    """A driver's stream whose errors are those of this package; those of whoever uses it stay as they are."""

    def __init__(self, file: Any, errors_in_words: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._errors_in_words = file, errors_in_words

    def write(self, data: bytes) -> None:
        with self._errors_in_words():
            self._file.write(data)

    def read(self, n_bytes: int) -> bytes:
        with self._errors_in_words():
            return bytes(self._file.read(n_bytes))


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "s3":
        times = {
            "connect_timeout": _TIMEOUT_S,
            "read_timeout": 2 * _TIMEOUT_S,
            "retries": {"max_attempts": 2},
        }
        return {"use_listings_cache": False, "config_kwargs": times}
    return {"use_listings_cache": False, "timeout": 2 * _TIMEOUT_S}
