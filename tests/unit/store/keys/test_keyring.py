from __future__ import annotations

import base64
import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.store.keys.ciphers import decrypt, encrypt
from deputize.store.keys.keyring import KeyRing, root_aad

KEK = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing.open(tmp_path_factory.mktemp("home"), environ={})


def test_the_same_home_has_the_same_keys(tmp_path: Path) -> None:
    one = KeyRing.open(tmp_path, environ={})
    two = KeyRing.open_existing(tmp_path, environ={})
    assert two.unseal(one.seal(b"text", b"aad"), b"aad") == b"text"
    assert one.derive("x") == two.derive("x") != one.derive("y")
    assert len(one.derive("x")) == 32
    assert one.pseudonym("ann") == two.pseudonym("ann")


def test_key_files_are_for_their_owner_only(tmp_path: Path) -> None:
    KeyRing.open(tmp_path, environ={})
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "keys").iterdir()}
    assert modes == {"kek.key": 0o600, "ring.json": 0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    KeyRing.open(tmp_path, environ={})
    (tmp_path / "keys" / "kek.key").chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        KeyRing.open(tmp_path, environ={})


def test_no_keys_and_none_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no keys"):
        KeyRing.open_existing(tmp_path / "nowhere", environ={})
    assert not (tmp_path / "nowhere").exists()


def test_the_environment_can_hold_the_kek(tmp_path: Path) -> None:
    sealed = KeyRing.open(tmp_path, environ={"DEPUTIZE_KEK": KEK}).seal(b"text", b"")
    assert not (tmp_path / "keys" / "kek.key").exists()
    assert KeyRing.open(tmp_path, environ={"DEPUTIZE_KEK": KEK}).unseal(sealed, b"") == b"text"
    with pytest.raises(StoreError, match="DEPUTIZE_KEK, which is not set"):
        KeyRing.open(tmp_path, environ={})
    other = base64.b64encode(os.urandom(32)).decode()
    with pytest.raises(Tampered, match="DEPUTIZE_KEK"):
        KeyRing.open(tmp_path, environ={"DEPUTIZE_KEK": other})


@pytest.mark.parametrize("kek", ["short", "x" * 44, base64.b64encode(b"16 bytes are few").decode()])
def test_a_kek_must_be_32_bytes(tmp_path: Path, kek: str) -> None:
    with pytest.raises(BadInput, match="32 bytes in base64"):
        KeyRing.open(tmp_path, environ={"DEPUTIZE_KEK": kek})


def test_a_lost_kek_file_is_said(tmp_path: Path) -> None:
    KeyRing.open(tmp_path, environ={})
    (tmp_path / "keys" / "kek.key").unlink()
    with pytest.raises(StoreError, match=r"kek\.key is not there"):
        KeyRing.open(tmp_path, environ={})
    assert not (tmp_path / "keys" / "kek.key").exists(), "a new KEK would hide the loss"


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"id": 3}'])
def test_a_broken_ring_file_is_said(tmp_path: Path, content: bytes) -> None:
    KeyRing.open(tmp_path, environ={})
    (tmp_path / "keys" / "ring.json").write_bytes(content)
    with pytest.raises(Tampered, match=r"ring\.json"):
        KeyRing.open(tmp_path, environ={})


def test_the_ring_file_tells_no_secret(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    text = (tmp_path / "keys" / "ring.json").read_text()
    for purpose in ("x", "journal"):
        assert base64.b64encode(ring.derive(purpose)).decode() not in text


@given(data=st.binary(max_size=200), aad=st.binary(max_size=40), other=st.binary(max_size=40))
def test_sealing_binds_to_the_aad(ring: KeyRing, data: bytes, aad: bytes, other: bytes) -> None:
    blob = ring.seal(data, aad)
    assert ring.unseal(blob, aad) == data
    if aad != other:
        with pytest.raises(Tampered):
            ring.unseal(blob, other)


@given(blob=st.binary(max_size=60))
def test_rubbish_is_not_unsealed(ring: KeyRing, blob: bytes) -> None:
    with pytest.raises(Tampered):
        ring.unseal(blob, b"")


@given(a=st.text(min_size=1), b=st.text(min_size=1))
def test_pseudonyms_are_stable_and_apart(ring: KeyRing, a: str, b: str) -> None:
    name = ring.pseudonym(a)
    assert re.fullmatch(r"o_[0-9a-f]{32}", name)
    assert (name == ring.pseudonym(b)) == (a == b)
    assert name != ring.pseudonym(a, tenant="other")


def test_nobody_has_no_pseudonym(ring: KeyRing) -> None:
    assert ring.pseudonym("") == ""


def test_two_homes_name_the_same_person_differently(tmp_path: Path) -> None:
    a, b = (KeyRing.open(tmp_path / name, environ={}) for name in ("a", "b"))
    assert a.pseudonym("ann") != b.pseudonym("ann")
    with pytest.raises(Tampered):
        b.unseal(a.seal(b"text", b""), b"")


def _open_and_name(home: str) -> str:
    return KeyRing.open(Path(home), environ={}).pseudonym("ann")


def test_processes_that_start_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_open_and_name, [str(tmp_path)] * 8, chunksize=1))) == 1


def test_rotation_keeps_what_was_sealed(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    elsewhere = KeyRing.open(tmp_path, environ={})
    sealed, name = ring.seal(b"text", b""), ring.pseudonym("ann")
    before, old = (ring.wrapping_id, ring.wrap(bytes(32), b"a"))
    ring.begin_rotation()
    assert ring.wrapping_id != before
    assert ring.unwrap(*old, b"a") == bytes(32), "both generations open while the rotation is under way"
    new = ring.wrap(bytes(32), b"a")
    assert elsewhere.unwrap(*new, b"a") == bytes(32), "another process finds the new generation by itself"
    ring.end_rotation()
    again = KeyRing.open(tmp_path, environ={})
    assert (again.unseal(sealed, b""), again.pseudonym("ann")) == (b"text", name)
    with pytest.raises(StoreError, match="is not in"):
        again.unwrap(*old, b"a")


def test_keys_in_the_ring_file_are_bound_to_their_ring(tmp_path: Path) -> None:
    """One KEK for two homes: neither a wrapping key nor a root secret can be carried from one ring into the other."""
    environ = {"DEPUTIZE_KEK": KEK}
    for name in ("a", "b"):
        KeyRing.open(tmp_path / name, environ=environ)
    a, b = (json.loads((tmp_path / name / "keys" / "ring.json").read_text()) for name in ("a", "b"))
    for change in (
        # all of another ring
        {"wrapping": b["wrapping"], "root": b["root"], "root_wrapped_by": b["root_wrapped_by"]},
        {"wrapping": [{**b["wrapping"][0], "id": a["root_wrapped_by"]}]},
        {"wrapping": [{**a["wrapping"][0], "id": "w_other"}], "root_wrapped_by": "w_other"},
    ):
        (tmp_path / "a" / "keys" / "ring.json").write_text(json.dumps({**a, **change}))
        with pytest.raises(Tampered):
            KeyRing.open(tmp_path / "a", environ=environ)


def test_a_root_secret_does_not_open_in_another_ring_with_its_wrapping_key() -> None:
    """The root is bound to its ring even where somebody has got hold of the wrapping key."""
    key = AESGCM(bytes(32))
    sealed = encrypt(key, b"r" * 32, root_aad("r_one"))
    assert decrypt(key, sealed, root_aad("r_one"), "it") == b"r" * 32
    with pytest.raises(Tampered):
        decrypt(key, sealed, root_aad("r_two"), "it")


def test_the_mark_of_api_keys_stays_with_the_ring(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    elsewhere, secret = KeyRing.open(tmp_path, environ={}), ring.derive("x")
    assert not ring.has_api_keys
    elsewhere.begin_rotation()
    ring.mark_api_keys()
    elsewhere.end_rotation()
    elsewhere.begin_rotation()
    for one in (ring, KeyRing.open(tmp_path, environ={})):
        assert one.has_api_keys and one.derive("x") == secret
    path = tmp_path / "keys" / "ring.json"
    path.write_bytes(path.read_bytes().replace(b'"has_api_keys": true', b'"has_api_keys": false'))
    with pytest.raises(Tampered):
        KeyRing.open(tmp_path, environ={})
