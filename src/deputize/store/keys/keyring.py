"""The keys of one home: KEK -> wrapping key -> data keys, and what is derived from the home's root secret.

The KEK (see keys.registry) wraps a wrapping key; the wrapping key wraps the root secret and every data key, so that
a key service is asked once per start and not once per data subject. Rotation replaces KEK use and wrapping key and
wraps the rest again; nothing that was encrypted is written again.

    HOME/keys/ring.json   wrapped keys and the provider's name: useless without the KEK
    HOME/keys/kek.key     the KEK, unless another provider holds it
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import Record
from deputize.files import locked, make_folder, write_atomic, write_new
from deputize.store.keys.base import KeyProvider
from deputize.store.keys.ciphers import KEY_BYTES, decrypt, derived, encrypt, lookup, pack
from deputize.store.keys.registry import default_provider, provider_from

_SEAL_MAGIC = b"DPS1"
RING_FILE = "ring.json"


class WrappingKey(Record, frozen=True):
    """One generation of the wrapping key, wrapped by a KEK."""

    id: str
    kek_id: str
    wrapped: bytes
    created: float


class RingFile(Record, frozen=True):
    """HOME/keys/ring.json."""

    id: str
    """Names this ring; a store written with another ring is refused."""
    provider: dict[str, Any]
    wrapping: list[WrappingKey]
    """The last one is active; earlier ones are there only while a rotation is under way."""
    root_wrapped_by: str
    root: bytes
    has_api_keys: bool = False
    """API keys have been made in this home; the root secret opens only with what stands here when it was wrapped."""
    version: int = 1


class Sealer:
    """Seals and derives with one 32-byte secret. Safe to share between threads."""

    def __init__(self, secret: bytes) -> None:
        self._secret, self._seal_key = secret, AESGCM(derived(secret, "seal"))

    def seal(self, data: bytes, aad: bytes) -> bytes:
        """Data encrypted and bound to `aad`."""
        return _SEAL_MAGIC + encrypt(self._seal_key, data, pack("seal", aad))

    def unseal(self, blob: bytes, aad: bytes) -> bytes:
        """The plaintext of a sealed record.

        Raises:
            Tampered: changed, cut off, sealed with other keys or for another `aad`.
        """
        if not blob.startswith(_SEAL_MAGIC):
            raise Tampered("This is not sealed data: its first bytes are missing or changed.")
        return decrypt(self._seal_key, blob[len(_SEAL_MAGIC) :], pack("seal", aad), "Sealed data")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, the same for as long as the secret holds."""
        return derived(self._secret, f"purpose/{purpose}")


class KeyRing(Sealer):
    """Seals, names and derives with the keys of one home. Safe to share between threads."""

    def __init__(self, path: Path, file: RingFile, provider: KeyProvider, environ: Mapping[str, str]) -> None:
        self._path, self._environ = path, environ
        self._lock = threading.Lock()
        self._load(file, provider)

    def _load(self, file: RingFile, provider: KeyProvider) -> None:
        wrapping = {
            w.id: AESGCM(provider.unwrap(w.wrapped, _wrapping_aad(file.id, w.id))) for w in file.wrapping
        }
        if file.root_wrapped_by not in wrapping:
            raise StoreError(
                f"{self._path} is not complete: its wrapping key {file.root_wrapped_by} is missing."
            )
        root = decrypt(
            wrapping[file.root_wrapped_by],
            file.root,
            root_aad(file.id, has_api_keys=file.has_api_keys),
            f"The root secret in {self._path}",
        )
        # a reader on an older snapshot of the store may still need a generation that is gone from the file
        self._wrapping = {**getattr(self, "_wrapping", {}), **wrapping}
        self._file, self._provider, self._root = file, provider, root
        super().__init__(root)
        self._lookup_key = derived(root, "lookup")
        self._peppers: dict[str, bytes] = {}

    @classmethod
    def open(
        cls, home: Path, *, provider: KeyProvider | None = None, environ: Mapping[str, str] | None = None
    ) -> KeyRing:
        """The ring of a home, made on first use.

        Args:
            home: the home folder; it need not exist yet.
            provider: who holds the KEK of a *new* ring; default DEPUTIZE_KEK where it is set, else a key file. An
                existing ring names its provider itself.
            environ: the environment, os.environ by default.

        Raises:
            StoreError: the KEK is not available.
            Tampered: the KEK is not the one the ring was wrapped with, or the ring was changed.
            BadInput: the KEK is not 32 bytes in base64.
        """
        environ = os.environ if environ is None else environ
        path = home / "keys" / "ring.json"
        if not path.exists():
            _create(path, provider or default_provider(path.parent, environ))
        file = _read(path)
        if provider is None or provider.spec() != file.provider:
            provider = provider_from(file.provider, path.parent, environ)
        return cls(path, file, provider, environ)

    @classmethod
    def open_existing(cls, home: Path, *, environ: Mapping[str, str] | None = None) -> KeyRing:
        """The ring of a home that has one. Raises StoreError where there is none, else as `open`."""
        if not (home / "keys" / "ring.json").exists():
            raise StoreError(f"There are no keys in {home / 'keys'}.")
        return cls.open(home, environ=environ)

    @classmethod
    def open_in(cls, folder: Path, *, environ: Mapping[str, str] | None = None) -> KeyRing:
        """The ring in a folder of keys, wherever it lies. Raises StoreError where there is none, else as `open`."""
        environ = os.environ if environ is None else environ
        file = _read(folder / RING_FILE)
        return cls(folder / RING_FILE, file, provider_from(file.provider, folder, environ), environ)

    def knows_also(self, other: KeyRing) -> None:
        """Opens as well what the wrapping keys of another state of this ring have wrapped; nothing is written."""
        self._wrapping = {**other._wrapping, **self._wrapping}

    @property
    def path(self) -> Path:
        """The ring file."""
        return self._path

    @property
    def id(self) -> str:
        """Names the ring; nothing secret."""
        return self._file.id

    @property
    def provider(self) -> KeyProvider:
        return self._provider

    @property
    def wrapping_id(self) -> str:
        """The active generation of the wrapping key."""
        return self._file.wrapping[-1].id

    @property
    def changed_s(self) -> float:
        """Unix seconds when the active generation was made; later than those before it, whatever the clocks say."""
        return self._file.wrapping[-1].created

    def knows(self, generation: str) -> bool:
        """True where a generation of the wrapping key is open here."""
        return generation in self._wrapping

    def pseudonym(self, raw_id: str, tenant: str = "default") -> str:
        """The stable name that stands for who asked, "" for "". Without the tenant's pepper it leads nowhere."""
        if not raw_id:
            return ""
        pepper = self._peppers.get(tenant)
        if pepper is None:
            pepper = self._peppers.setdefault(tenant, self.derive(f"pepper/{tenant}"))
        return "o_" + hmac.digest(pepper, raw_id.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()

    def lookup(self, *parts: str) -> bytes:
        """16 bytes that stand for a text in an index column."""
        return lookup(self._lookup_key, *parts)

    def wrap(self, key: bytes, aad: bytes) -> tuple[str, bytes]:
        """(generation, wrapped data key)."""
        active = self.wrapping_id
        return active, encrypt(self._wrapping[active], key, pack("data-key", aad))

    def unwrap(self, generation: str, wrapped: bytes, aad: bytes) -> bytes:
        """A data key that `wrap` wrapped; looks again at the ring file where another process has rotated.

        Raises:
            StoreError: its wrapping key is gone.
            Tampered: it was changed or belongs to another subject.
        """
        if generation not in self._wrapping:
            self.reload()
        if generation not in self._wrapping:
            raise StoreError(
                f"The wrapping key {generation} is not in {self._path}: restore the keys folder."
            )
        return decrypt(self._wrapping[generation], wrapped, pack("data-key", aad), "A data key")

    def reload(self) -> None:
        """Reads the ring file again."""
        with self._lock:
            file = _read(self._path)
            if file != self._file:
                changed = file.provider != self._file.provider
                provider = (
                    provider_from(file.provider, self._path.parent, self._environ)
                    if changed
                    else self._provider
                )
                self._load(file, provider)

    @property
    def has_api_keys(self) -> bool:
        """True where API keys were made in this home before its ring was read: a missing file of them was taken
        away."""
        return self._file.has_api_keys

    def mark_api_keys(self) -> None:
        """Notes in the ring that API keys have been made.

        Raises:
            StoreError: the ring cannot be written.
        """
        if self._file.has_api_keys:
            return
        self.reload()
        with self._lock, locked(self._path):
            file = _read(self._path)
            wrapping = self._wrapping[file.root_wrapped_by]
            root = encrypt(wrapping, self._root, root_aad(file.id, has_api_keys=True))
            new = msgspec.structs.replace(file, root=root, has_api_keys=True)
            write_atomic(self._path, _encode(new))
            self._file = new

    def begin_rotation(self, provider: KeyProvider | None = None) -> str:
        """Adds a fresh wrapping key, wrapped by `provider` (default: the same one), and makes it the active one.

        Data keys have to be wrapped again (see maintenance.rotation) before `end_rotation` drops the earlier
        generation.

        Returns:
            The new generation.
        """
        with self._lock, locked(self._path):
            file, holder = _read(self._path), provider or self._provider
            raw, fresh_id = os.urandom(KEY_BYTES), "w_" + os.urandom(6).hex()
            # earlier generations too, for one file has one provider; the root moves at once, it is one blob
            again = [_wrapped(holder, file.id, w.id, self._raw(w, file.id), w.created) for w in file.wrapping]
            # of two states of one ring the later one is told by this, also where machines' clocks differ
            changed_s = max(time.time(), file.wrapping[-1].created + 1e-3)
            fresh = _wrapped(holder, file.id, fresh_id, raw, changed_s)
            root = encrypt(AESGCM(raw), self._root, root_aad(file.id, has_api_keys=file.has_api_keys))
            new = msgspec.structs.replace(
                file, provider=holder.spec(), wrapping=[*again, fresh], root=root, root_wrapped_by=fresh_id
            )
            write_atomic(self._path, _encode(new))
            self._load(new, holder)
            return fresh_id

    def _raw(self, wrapping: WrappingKey, ring_id: str) -> bytes:
        return self._provider.unwrap(wrapping.wrapped, _wrapping_aad(ring_id, wrapping.id))

    def end_rotation(self) -> None:
        """Destroys every wrapping key but the active one."""
        with self._lock, locked(self._path):
            file = _read(self._path)
            new = msgspec.structs.replace(file, wrapping=file.wrapping[-1:])
            write_atomic(self._path, _encode(new))
            self._load(new, self._provider)


def _create(path: Path, provider: KeyProvider) -> None:
    ring_id, wrapping_id = "r_" + os.urandom(6).hex(), "w_" + os.urandom(6).hex()
    raw = os.urandom(KEY_BYTES)
    file = RingFile(
        id=ring_id,
        provider=provider.spec(),
        wrapping=[_wrapped(provider, ring_id, wrapping_id, raw, time.time())],
        root_wrapped_by=wrapping_id,
        root=encrypt(AESGCM(raw), os.urandom(KEY_BYTES), root_aad(ring_id)),
    )
    make_folder(path.parent)
    # of two processes that start at once the first one's keys hold; the other reads them
    write_new(path, _encode(file))


def _wrapped(
    provider: KeyProvider, ring_id: str, wrapping_id: str, raw: bytes, created: float
) -> WrappingKey:
    blob = provider.wrap(raw, _wrapping_aad(ring_id, wrapping_id))
    return WrappingKey(id=wrapping_id, kek_id=provider.key_id, wrapped=blob, created=created)


def _wrapping_aad(ring_id: str, wrapping_id: str) -> bytes:
    return pack("wrapping-key", ring_id, wrapping_id)


def root_aad(ring_id: str, *, has_api_keys: bool = False) -> bytes:
    """Additional authenticated data that bind the root secret to its ring, and to the mark that API keys have been
    made."""
    return pack("root", ring_id, *(["api keys"] if has_api_keys else []))


def _encode(file: RingFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _read(path: Path) -> RingFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RingFile)
    except FileNotFoundError:
        raise StoreError(f"There are no keys in {path.parent}.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    except msgspec.DecodeError as error:
        raise Tampered(f"{path} is not a key ring file; restore it from a backup.") from error
