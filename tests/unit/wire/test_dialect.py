"""The operations of one protocol."""

from __future__ import annotations

import dataclasses

import pytest

from deputize.wire.dialect import ReplyHead
from deputize.wire.registry import CHAT


def test_a_dialect_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CHAT.name = "other"  # type: ignore[misc]


def test_heads_do_not_share_their_fields() -> None:
    assert ReplyHead("a", "m").fields is not ReplyHead("b", "m").fields
