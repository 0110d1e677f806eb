"""Key providers: who holds the key-encryption key (KEK) and wraps and unwraps other keys with it."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol


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
        """Settings by which `keys.registry.provider_from` finds this KEK again; nothing secret."""
        ...
