"""One suite over every key provider, ours and a user's; broken ones fail it. Key services: unit/store/keys/test_kms.py."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.a_users_key_provider import Paper

from deputize.store.keys.base import KeyProvider
from deputize.store.keys.registry import provider_from, provider_named
from deputize.testing import check_key_provider

ENVIRON = {
    "DEPUTIZE_KEK": base64.b64encode(bytes(32)).decode(),
    "DEPUTIZE_KEK_PROVIDER": Paper.kind,
    "PAPER": "p" * 32,
}


@pytest.mark.parametrize("name", ["file", "env", Paper.kind])
def test_every_provider_keeps_the_contract(name: str, tmp_path: Path) -> None:
    spec = provider_named(name, tmp_path, ENVIRON).spec()
    check_key_provider(lambda: provider_from(spec, tmp_path, ENVIRON))


class Bare(Paper):
    """Wraps with nothing."""

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return key

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return wrapped


class Unbound(Paper):
    """Does not bind what it wraps."""

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return super().wrap(key, b"")

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return super().unwrap(wrapped, b"")


class Unsealed(Paper):
    """Hides the key without noticing changes."""

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        return bytes(b ^ 0x55 for b in key) + aad

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        if wrapped[32:] != aad:
            return super().unwrap(bytes(60), aad)
        return bytes(b ^ 0x55 for b in wrapped[:32])


class Forgetful(Paper):
    """Opens only what it wrapped itself."""

    def __init__(self, kek: bytes) -> None:
        super().__init__(kek)
        self._made: set[bytes] = set()

    def wrap(self, key: bytes, aad: bytes) -> bytes:
        made = super().wrap(key, aad)
        self._made.add(made)
        return made

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return super().unwrap(wrapped if wrapped in self._made else bytes(60), aad)


class OfAnotherKind(Paper):
    def spec(self) -> dict[str, Any]:
        return {"kind": "another"}


class WithBytes(Paper):
    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "places": (1, 2)}


class Renamed(Paper):
    """Names its key again each time."""

    n_made = 0

    def __init__(self, kek: bytes) -> None:
        super().__init__(kek)
        Renamed.n_made += 1
        self.key_id = f"paper{Renamed.n_made}"


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Bare, "does not show the key"),
        (Unbound, "bound to"),
        (Unsealed, "a changed wrapped key is refused"),
        (Forgetful, "opens what was wrapped before"),
        (OfAnotherKind, "spec names the kind"),
        (WithBytes, "spec is JSON"),
        (Renamed, "named alike"),
    ],
)
def test_a_broken_provider_is_named(broken: Callable[[bytes], KeyProvider], promise: str) -> None:
    environ: Mapping[str, str] = ENVIRON
    with pytest.raises(AssertionError, match=promise):
        check_key_provider(lambda: broken(environ["PAPER"].encode()))
