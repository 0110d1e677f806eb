"""Data keys, one per (tenant, data subject, month): encryption of payloads, and names of keys. No database."""

from __future__ import annotations

import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.store.keys.ciphers import decrypt, encrypt, pack
from deputize.store.keys.keyring import KeyRing

UNDATED = "undated"


class DataKey:
    """One key, opened: encrypts payloads bound to their tenant, kind, record id, schema version and key id."""

    __slots__ = ("_aad", "_aead", "id", "tenant")

    def __init__(self, id: int, tenant: str, raw: bytes) -> None:
        self.id, self.tenant = id, tenant
        self._aead = AESGCM(raw)
        self._aad = pack(tenant, id)

    def encrypt(self, kind: bytes, record: bytes, schema: int, data: bytes) -> bytes:
        return encrypt(self._aead, data, self._bound(kind, record, schema))

    def decrypt(self, kind: bytes, record: bytes, schema: int, blob: bytes) -> bytes:
        """Raises Tampered when the blob was changed or belongs to another record, tenant or key."""
        what = f"The stored {kind.decode()} {record.hex() or 'record'} (data key {self.id})"
        return decrypt(self._aead, blob, self._bound(kind, record, schema), what)

    def _bound(self, kind: bytes, record: bytes, schema: int) -> bytes:
        # lengths: the prefix packs its own, record ids are of one length per kind, and the kind comes last
        return b"%b%b|%d|%b" % (self._aad, record, schema, kind)


def subject_of(keyring: KeyRing, tenant: str, origin: str) -> bytes:
    """Digest that stands for a data subject in the database."""
    return keyring.lookup("subject", tenant, origin)


def key_aad(tenant: str, subject: bytes, month: str) -> bytes:
    """Additional data that a wrapped data key is bound to: it cannot be given to another subject."""
    return pack(tenant, subject, month)


def month_of(timestamp: float | None) -> str:
    """The month of a Unix time, as 2026-03 in UTC."""
    if timestamp is None:
        return UNDATED
    try:
        moment = time.gmtime(timestamp)
    except (OverflowError, ValueError, OSError):
        return UNDATED
    return f"{moment.tm_year:04d}-{moment.tm_mon:02d}"
