"""The contract suite of key providers: what every implementation of `keys.base.KeyProvider` promises."""

from __future__ import annotations

import json
from collections.abc import Callable

from deputize.core.errors import DeputizeError, Tampered
from deputize.store.keys.base import KeyProvider

_KEY = bytes(range(32))


def check_key_provider(reopen: Callable[[], KeyProvider]) -> None:
    """Checks a key provider against the promises of `keys.base.KeyProvider`.

    Args:
        reopen: makes a provider of the same key-encryption key (KEK) each time it is called, as `provider_from` does
            from `spec()`.

    Raises:
        AssertionError: names the promise that is broken.
    """
    provider = reopen()
    assert provider.kind and provider.key_id, "a provider has a kind and names its KEK"
    spec = provider.spec()
    assert spec.get("kind") == provider.kind, "spec names the kind, by which the provider is found again"
    assert json.loads(json.dumps(spec)) == spec, "spec is JSON: it is in the ring file"
    wrapped = provider.wrap(_KEY, b"bound to this")
    assert _KEY not in wrapped and _KEY.hex().encode() not in wrapped, "a wrapped key does not show the key"
    assert provider.unwrap(wrapped, b"bound to this") == _KEY, "unwrap gives back the key that was wrapped"
    assert _KEY.hex() not in json.dumps(spec), "spec holds nothing secret"
    other = bytes(reversed(_KEY))
    assert provider.unwrap(provider.wrap(other, b""), b"") == other, "any 32 bytes can be wrapped"
    _check_refuses(provider, wrapped)
    again = reopen()
    assert (again.key_id, again.spec()) == (provider.key_id, spec), (
        "the same KEK is named alike when it is found again"
    )
    try:
        opened = again.unwrap(wrapped, b"bound to this")
    except DeputizeError:
        opened = b""
    assert opened == _KEY, "a provider that is found again opens what was wrapped before"


def _check_refuses(provider: KeyProvider, wrapped: bytes) -> None:
    try:
        provider.unwrap(wrapped, b"bound to that")
    except Tampered:
        pass
    else:
        raise AssertionError("a wrapped key opens only with the data that it is bound to, else Tampered")
    middle = len(wrapped) // 2
    for changed in (
        wrapped[:-1] + bytes([wrapped[-1] ^ 1]),
        wrapped[:middle] + bytes([wrapped[middle] ^ 1]) + wrapped[middle + 1 :],
        wrapped[:middle],
    ):
        try:
            provider.unwrap(changed, b"bound to this")
        except DeputizeError:
            continue
        raise AssertionError("a changed wrapped key is refused, with Tampered or StoreError")
