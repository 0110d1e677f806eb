"""Groups of types: what contradicts what."""

from __future__ import annotations

from deputize.privacy.entity_types import DIRECT, FUZZY, INDIRECT, PUBLIC, SECRET


def test_no_type_is_direct_and_indirect() -> None:
    assert not DIRECT & INDIRECT


def test_secrets_are_direct_and_never_public() -> None:
    assert SECRET <= DIRECT and not SECRET & PUBLIC


def test_only_indirect_types_may_be_the_applications() -> None:
    assert INDIRECT <= PUBLIC and not PUBLIC & DIRECT and FUZZY & DIRECT
