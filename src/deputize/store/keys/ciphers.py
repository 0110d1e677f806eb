"""AES-256-GCM with what belongs to the text bound to it, and one-way names. Knows nothing of files or key storage.

References:
    NIST SP 800-38D (GCM: a random 96-bit nonce is good for 2**32 messages under one key, section 8.3).
"""

from __future__ import annotations

import hmac
import os
import struct
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import Tampered

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
LOOKUP_BYTES = 16


def pack(*parts: bytes | str | int) -> bytes:
    """Parts as one byte string, each with its length before it, so that no two lists of parts look alike."""
    out = bytearray()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        out += struct.pack(">I", len(raw)) + raw
    return bytes(out)


def encrypt(key: AESGCM, data: bytes, aad: bytes) -> bytes:
    """nonce || ciphertext || tag, under a fresh random nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, data, aad)


def decrypt(key: AESGCM, blob: bytes, aad: bytes, what: str) -> bytes:
    """The data that `encrypt` sealed.

    Raises:
        Tampered: the blob, the key or the AAD is not the one it was sealed with; `what` names it to the user.
    """
    if not isinstance(blob, bytes):
        raise Tampered(f"{what} is not what was stored: it is no sequence of bytes.")
    if len(blob) < NONCE_BYTES + TAG_BYTES:
        raise Tampered(f"{what} is cut off: it has {len(blob)} bytes, fewer than an empty sealed text.")
    try:
        return key.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], aad)
    except InvalidTag:
        raise Tampered(
            f"{what} does not match its seal: it was changed, moved, or sealed with another key."
        ) from None


def derived(root: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose from a uniform 32-byte root (HMAC-SHA256 as a key derivation function)."""
    return hmac.digest(root, b"deputize/v1/" + purpose.encode(), "sha256")


def lookup(key: bytes, *parts: str) -> bytes:
    """16 bytes that stand for a text in an index: equal for equal texts, meaningless without the key."""
    return blake2b(pack(*parts), key=key, digest_size=LOOKUP_BYTES).digest()
