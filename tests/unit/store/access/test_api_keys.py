from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.errors import AccessDenied, BadInput, NotAuthenticated, Tampered
from deputize.store.access.api_keys import ApiKey, ApiKeys
from deputize.store.keys.keyring import KeyRing


class Clock:
    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


@pytest.fixture
def keys(tmp_path: Path, ring: KeyRing) -> ApiKeys:
    return ApiKeys(tmp_path, ring, poll_s=0, clock=Clock())


def test_a_key_opens_and_only_its_hash_is_kept(tmp_path: Path, keys: ApiKeys) -> None:
    assert not keys
    made = keys.create("ingest", tenant="t2", label="the desk agent")
    assert keys
    assert keys.verify(made.text) == made.key
    assert keys.verify(f" {made.text}\n").actor.tenant == "t2"
    secret = made.text.rpartition("_")[2]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
    assert keys.list() == (made.key,)


def test_a_revoked_or_expired_key_does_not_open(tmp_path: Path, ring: KeyRing) -> None:
    clock = Clock()
    keys = ApiKeys(tmp_path, ring, poll_s=0, clock=clock)
    a, b = keys.create("ingest"), keys.create("ingest", expires_at=clock.now + 10)
    elsewhere = ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={}), poll_s=0, clock=clock)
    assert elsewhere.verify(a.text).id == a.key.id
    keys.revoke(a.key.id)
    with pytest.raises(NotAuthenticated):
        elsewhere.verify(a.text)
    elsewhere.verify(b.text)
    clock.now += 10
    with pytest.raises(NotAuthenticated):
        elsewhere.verify(b.text)
    assert keys.revoke(a.key.id).revoked_at is not None
    with pytest.raises(BadInput, match="no API key"):
        keys.revoke("0" * 12)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80) | st.from_regex(r"dpk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_nothing_else_opens(keys: ApiKeys, text: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        keys.verify(text)
    assert str(caught.value) == "The API key is not valid here."


def test_a_key_with_one_letter_changed_does_not_open(keys: ApiKeys) -> None:
    text = keys.create("ingest").text
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(NotAuthenticated):
            keys.verify(changed)


def test_rights_cannot_be_edited_into_the_file(tmp_path: Path, keys: ApiKeys, ring: KeyRing) -> None:
    keys.create("ingest")
    path = tmp_path / "keys" / "api_keys.json"
    path.write_bytes(path.read_bytes().replace(b'"ingest"', b'"admin"'))
    with pytest.raises(Tampered, match="changed by another program"):
        ApiKeys(tmp_path, ring).list()
    path.write_bytes(b"rubbish")
    with pytest.raises(Tampered):
        ApiKeys(tmp_path, ring).list()


def test_senseless_keys_are_refused(keys: ApiKeys) -> None:
    for role in ("owner", "root"):
        with pytest.raises(AccessDenied):
            keys.create(role)
    with pytest.raises(BadInput, match="cannot be granted"):
        keys.create("curator", grants=["erase an origin"])
    with pytest.raises(BadInput, match="positive"):
        keys.create("ingest", usd_per_month=0)
    with pytest.raises(BadInput, match="tenant"):
        keys.create("ingest", tenant="")
    assert keys.list() == ()


# --- limits ---


def a_key(**limits: object) -> ApiKey:
    return ApiKey(id="k", digest=b"", role="ingest", **limits)  # type: ignore[arg-type]


def test_a_key_file_survives_its_own_format(keys: ApiKeys) -> None:
    made = keys.create(
        "curator", models=["a*"], requests_per_minute=3, usd_per_month=2.5, grants=["read raw text"]
    )
    assert msgspec.json.decode(msgspec.json.encode(made.key), type=ApiKey) == made.key
