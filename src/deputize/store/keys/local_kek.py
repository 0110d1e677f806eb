"""KEKs that this process holds itself: from a key file or from the environment."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import BadInput, StoreError
from deputize.files import make_folder, reason, write_new
from deputize.store.keys.ciphers import KEY_BYTES, decrypt, encrypt

ENV_KEK = "DEPUTIZE_KEK"


class LocalKek:
    """A KEK held in this process."""

    def __init__(self, kek: bytes, what: str) -> None:
        self._aead = AESGCM(kek)
        self._what = what
        self._key_id = hashlib.sha256(b"deputize/kek-id" + kek).hexdigest()[:12]

    @property
    def key_id(self) -> str:
        return self._key_id

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return encrypt(self._aead, key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return decrypt(self._aead, wrapped, aad, f"A key wrapped by {self._what} (KEK {self._key_id})")


class FileKek(LocalKek):
    """A KEK in a file that only its owner may read: 32 bytes in base64."""

    kind: ClassVar[str] = "file"

    def __init__(self, path: Path, *, relative_to: Path | None = None) -> None:
        try:
            mode = path.stat().st_mode
            text = path.read_text("ascii")
        except FileNotFoundError:
            raise StoreError(
                f"The key file {path} is not there. Without it nothing in this home can be read."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"The key file {path} cannot be read: {error}.") from error
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise StoreError(f"The key file {path} can be read by others. Run: chmod 600 {path}")
        super().__init__(_parse_kek(text, str(path)), str(path))
        self._path = path
        self._relative_to = relative_to

    @classmethod
    def create(cls, path: Path, *, relative_to: Path | None = None) -> FileKek:
        """A fresh KEK in a new file; the one that is there where another process was faster."""
        make_folder(path.parent)
        write_new(path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        return cls(path, relative_to=relative_to)

    @property
    def path(self) -> Path:
        """The key file."""
        return self._path

    def spec(self) -> dict[str, Any]:
        base = self._relative_to
        inside = base is not None and self._path.is_relative_to(base)
        return {
            "kind": self.kind,
            "path": str(self._path.relative_to(base) if inside and base else self._path),
        }


class EnvKek(LocalKek):
    """A KEK in an environment variable: 32 bytes in base64. It is never written to the disk."""

    kind: ClassVar[str] = "env"

    def __init__(self, environ: Mapping[str, str], variable: str = ENV_KEK) -> None:
        if not environ.get(variable):
            raise StoreError(
                f"The keys of this home need the environment variable {variable}, which is not set."
            )
        super().__init__(_parse_kek(environ[variable], variable), variable)
        self._variable = variable

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "variable": self._variable}


def _parse_kek(text: str, where: str) -> bytes:
    try:
        kek = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        kek = b""
    if len(kek) != KEY_BYTES:
        raise BadInput(f"{where} must hold 32 bytes in base64, as printed by: openssl rand -base64 32")
    return kek


def file_from_spec(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> FileKek:
    """As keys.registry asks for it; the path is relative to the keys folder, or absolute."""
    return FileKek(folder / spec["path"], relative_to=folder)


def env_from_spec(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> EnvKek:
    """As keys.registry asks for it."""
    return EnvKek(environ, spec.get("variable", ENV_KEK))


def destroy_key_file(path: Path) -> tuple[str, ...]:
    """Overwrites a key file and removes it; a warning where that does not work (it has no use any more either way)."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as error:
        return (f"The old key file {path} could not be removed ({reason(error)}); remove it by hand.",)
    return ()
