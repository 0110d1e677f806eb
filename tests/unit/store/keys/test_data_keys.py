"""A data key binds a payload to its record; months are UTC."""

from __future__ import annotations

import os

import pytest

from deputize.core.errors import Tampered
from deputize.store.keys.data_keys import UNDATED, DataKey, key_aad, month_of


def test_a_payload_opens_only_as_what_it_was_sealed() -> None:
    key = DataKey(1, "default", os.urandom(32))
    sealed = key.encrypt(b"call", b"id", 1, b"text")
    assert key.decrypt(b"call", b"id", 1, sealed) == b"text"
    for kind, record, schema in ((b"feedback", b"id", 1), (b"call", b"other", 1), (b"call", b"id", 2)):
        with pytest.raises(Tampered):
            key.decrypt(kind, record, schema, sealed)


def test_months_are_utc_and_odd_times_are_undated() -> None:
    assert month_of(0.0) == "1970-01" and month_of(1772323200.0 - 1) == "2026-02"
    assert month_of(None) == UNDATED == month_of(1e300)
    assert key_aad("a", b"bc", "m") != key_aad("ab", b"c", "m")
