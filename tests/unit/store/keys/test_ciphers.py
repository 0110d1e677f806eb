from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.errors import Tampered
from deputize.store.keys.ciphers import decrypt, derived, encrypt, lookup, pack

KEY = AESGCM(bytes(range(32)))


@given(data=st.binary(max_size=300), aad=st.binary(max_size=60))
def test_what_is_encrypted_comes_back(data: bytes, aad: bytes) -> None:
    blob = encrypt(KEY, data, aad)
    assert decrypt(KEY, blob, aad, "it") == data
    assert len(data) < 8 or data not in blob


@given(data=st.binary(max_size=80), position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(data: bytes, position: int, bit: int) -> None:
    blob = bytearray(encrypt(KEY, data, b"aad"))
    blob[position % len(blob)] ^= 1 << bit
    with pytest.raises(Tampered):
        decrypt(KEY, bytes(blob), b"aad", "it")


@given(data=st.binary(max_size=80), n_bytes=st.integers(0, 107))
def test_a_cut_text_is_noticed(data: bytes, n_bytes: int) -> None:
    blob = encrypt(KEY, data, b"aad")
    if n_bytes < len(blob):
        with pytest.raises(Tampered):
            decrypt(KEY, blob[:n_bytes], b"aad", "it")


def test_another_aad_or_key_does_not_open() -> None:
    blob = encrypt(KEY, b"text", b"tenant a")
    with pytest.raises(Tampered, match="the letter"):
        decrypt(KEY, blob, b"tenant b", "the letter")
    with pytest.raises(Tampered):
        decrypt(AESGCM(os.urandom(32)), blob, b"tenant a", "the letter")


def test_nonces_do_not_repeat() -> None:
    nonces = {encrypt(KEY, b"same", b"same")[:12] for _ in range(5000)}
    assert len(nonces) == 5000


@given(a=st.lists(st.text(max_size=6), max_size=4), b=st.lists(st.text(max_size=6), max_size=4))
def test_pack_tells_lists_apart(a: list[str], b: list[str]) -> None:
    assert (pack(*a) == pack(*b)) == (a == b)


def test_derived_keys_and_lookups_depend_on_everything() -> None:
    assert len({derived(r, p) for r in (b"a" * 32, b"b" * 32) for p in ("x", "y")}) == 4
    assert (
        len({lookup(k, *p) for k in (b"a" * 32, b"b" * 32) for p in (("x", "y"), ("xy",), ("x", "y", ""))})
        == 6
    )
