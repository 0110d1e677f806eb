"""Where the key-encryption key (KEK) lives: a file, the environment, or a key service. It only wraps and unwraps.

A provider that a ring was made with is named in the ring file (nothing secret), so that opening needs no settings.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import os
import stat
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import BadInput, StoreError
from deputize.files import write_new
from deputize.store.keys.ciphers import KEY_BYTES, decrypt, encrypt

ENV_KEK = "DEPUTIZE_KEK"
ENV_PROVIDER = "DEPUTIZE_KEK_PROVIDER"


class KeyProvider(Protocol):
    """Wraps keys with a KEK that it alone knows."""

    kind: ClassVar[str]

    @property
    def key_id(self) -> str:
        """Names the KEK that wraps now; nothing secret."""
        ...

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        """The key, wrapped; `aad` has to be given again to unwrap."""
        ...

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """The key that was wrapped.

        Raises:
            Tampered: not wrapped by this KEK with this `aad`.
            StoreError: the key service cannot be reached or refuses.
        """
        ...

    def spec(self) -> dict[str, Any]:
        """What `provider_from` needs to find this KEK again; nothing secret."""
        ...


class _LocalKek:
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


class FileKek(_LocalKek):
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
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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


class EnvKek(_LocalKek):
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


Builder = Callable[[dict[str, Any], Path, Mapping[str, str]], KeyProvider]
"""(spec, keys folder, environment) -> provider."""


def _file(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> KeyProvider:
    return FileKek(folder / spec["path"], relative_to=folder)


def _env(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> KeyProvider:
    return EnvKek(environ, spec.get("variable", ENV_KEK))


PROVIDERS: dict[str, Builder] = {"file": _file, "env": _env}
"""kind -> builder; the key services add theirs when they are first asked for (store.kms)."""

_SERVICES = ("vault", "aws-kms")
_GROUP = "deputize.key_providers"


def provider_from(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> KeyProvider:
    """The provider that a ring file names.

    Raises:
        StoreError: its KEK is not to be had.
        BadInput: an unknown kind, or a KEK that is not 32 bytes.
    """
    kind = str(spec.get("kind", ""))
    try:
        return _builder(kind, environ)(spec, folder, environ)
    except KeyError as error:
        raise BadInput(f"The settings of the key provider {kind!r} lack {error}.") from None


def _builder(kind: str, environ: Mapping[str, str]) -> Builder:
    """What makes providers of a kind: ours, an entry point of the group "deputize.key_providers", or module:attribute.

    The last only where the environment names it too: a ring file alone must not say what code is run.
    """
    if kind in _SERVICES:
        importlib.import_module("deputize.store.keys.kms")
    if kind in PROVIDERS:
        return PROVIDERS[kind]
    try:
        for point in entry_points(group=_GROUP, name=kind):
            return cast(Builder, point.load())
        module, colon, attribute = kind.partition(":")
        if colon and environ.get(ENV_PROVIDER) == kind:
            return cast(Builder, getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise BadInput(f"The key provider {kind} cannot be loaded: {error}.") from error
    more = f" (set {ENV_PROVIDER}={kind} to have that code run)" if ":" in kind else ""
    raise BadInput(
        f"{kind!r} is not a key provider here{more}; there are {', '.join(sorted({*PROVIDERS, *_SERVICES}))}."
    )


def default_provider(folder: Path, environ: Mapping[str, str]) -> KeyProvider:
    """The provider of a new ring: what DEPUTIZE_KEK_PROVIDER names (see `provider_named`); without it the environment
    variable DEPUTIZE_KEK where that is set, else a new key file in `folder`.

    Raises:
        BadInput: an unknown provider, or one that lacks its settings.
    """
    name = environ.get(ENV_PROVIDER) or ("env" if environ.get(ENV_KEK) else "file")
    return provider_named(name, folder, environ)


def provider_named(
    name: str, folder: Path, environ: Mapping[str, str], *, file: str = "kek.key"
) -> KeyProvider:
    """A provider for a ring that is made or rotated now.

    Args:
        name: file, env or env:VARIABLE, vault, aws-kms (their settings come from the environment), or a plug-in: an
            entry point of the group "deputize.key_providers", or module:attribute. It is called with
            ({"kind": name}, keys folder, environment) and gives a KeyProvider, whose `spec` has that kind too.
        folder: the keys folder.
        environ: the environment.
        file: what a new key file is called.

    Raises:
        BadInput: an unknown provider, or one that lacks its settings.
        StoreError: its KEK is not to be had.
    """
    if name == "file":
        return FileKek.create(folder / file, relative_to=folder)
    if name == "env" or name.startswith("env:"):
        return EnvKek(environ, name.partition(":")[2] or ENV_KEK)
    if name in _SERVICES:
        kms = importlib.import_module("deputize.store.keys.kms")
        made: KeyProvider = (kms.vault_from_environment if name == "vault" else kms.aws_from_environment)(
            environ
        )
        return made
    made = _builder(name, environ)({"kind": name}, folder, environ)
    if made.spec().get("kind") != name:
        raise BadInput(f"The key provider {name} says that its kind is {made.spec().get('kind')!r}.")
    return made
