"""Pointers are bound to their version and to the keys of the homes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import Tampered
from deputize.store.keys.keyring import KeyRing
from deputize.store.published.version_pointer import (
    VersionPointer,
    digest,
    opened_pointer,
    pointer_name,
    sealed_pointer,
)


def test_a_pointer_opens_with_its_version_and_its_keys_only(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    pointer = VersionPointer(version=7, previous="x", at=1.5)
    blob = sealed_pointer(pointer, ring)
    assert opened_pointer(blob, 7, ring) == pointer and len(digest(blob)) == 64
    other = KeyRing.open(tmp_path / "other", environ={})
    for wrong, version, keys in ((blob, 8, ring), (blob[:-1], 7, ring), (blob, 7, other), (b"", 7, ring)):
        with pytest.raises(
            Tampered, match=f"pointer of version {version} was changed, or sealed with other keys"
        ):
            opened_pointer(wrong, version, keys)


def test_names_sort_by_version() -> None:
    assert pointer_name(9) < pointer_name(10) < pointer_name(10**11)
