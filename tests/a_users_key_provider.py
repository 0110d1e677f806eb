"""A key provider as a user would write one: the key-encryption key comes from a variable of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import Tampered


class Paper:
    """Keys wrapped with a KEK that somebody keeps on paper and types in."""

    kind: ClassVar[str] = "tests.a_users_key_provider:paper"

    def __init__(self, kek: bytes) -> None:
        self._aead = AESGCM(kek)
        self.key_id = "paper"

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return bytes(12) + self._aead.encrypt(bytes(12), key, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        try:
            return self._aead.decrypt(wrapped[:12], wrapped[12:], aad)
        except InvalidTag:
            raise Tampered("The wrapped key does not open with the key on paper.") from None

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind}


def paper(spec: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> Paper:
    return Paper(environ["PAPER"].encode())
