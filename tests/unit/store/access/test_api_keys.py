from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.errors import AccessDenied, BadInput, NotAuthenticated, Tampered
from deputize.store.access.api_keys import ApiKey, ApiKeys
from deputize.store.access.audit_log import AuditLog
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
    secret = made.text.split("_", 2)[2]  # it may hold a "_" itself
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
    for other in ("shop\u200b", "sh\u202eop", "shop ", "\uff53hop", "shop\n", "sho\u0070\u0308\u0323"):
        with pytest.raises(BadInput, match="would look like another one"):
            keys.create("ingest", tenant=other)
    assert keys.list() == ()


# --- limits ---


def a_key(id: str = "k", **limits: object) -> ApiKey:
    return ApiKey(id=id, digest=b"", role="ingest", **limits)  # type: ignore[arg-type]


def test_a_key_file_survives_its_own_format(keys: ApiKeys) -> None:
    made = keys.create(
        "curator", models=["a*"], requests_per_minute=3, usd_per_month=2.5, grants=["read raw text"]
    )
    assert msgspec.json.decode(msgspec.json.encode(made.key), type=ApiKey) == made.key


def test_keys_stay_required_once_there_has_been_one(tmp_path: Path) -> None:
    """Whatever becomes of them, until somebody says otherwise."""
    keys = ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={}), poll_s=0)
    assert not keys.required
    made = keys.create("ingest")
    assert keys.required
    keys.revoke(made.key.id)
    assert keys.required and not keys
    keys.require(False)
    assert not keys.required
    keys.create("ingest")
    assert keys.required, "a new key asks for keys again"


def test_an_older_copy_brings_no_revoked_key_back(tmp_path: Path) -> None:
    ring, path = KeyRing.open(tmp_path, environ={}), tmp_path / "keys" / "api_keys.json"
    keys = ApiKeys(tmp_path, ring, poll_s=0)
    made = keys.create("ingest")
    old = path.read_bytes()
    keys.revoke(made.key.id)
    keys.create("auditor")
    path.write_bytes(old)
    for reader in (keys, ApiKeys(tmp_path, ring)):
        with pytest.raises(Tampered, match=r"older copy.*deputize keys revoke --all"):
            reader.verify(made.text)
        assert reader.required
        with pytest.raises(Tampered):
            reader.create("ingest")
    keys.revoke_all()
    with pytest.raises(NotAuthenticated):
        keys.verify(made.text)
    again = keys.create("ingest")
    assert keys.verify(again.text).id == again.key.id


@pytest.mark.parametrize("damage", ["gone", "empty", "required", "generation", "another home's"])
def test_a_file_that_is_gone_or_forged_lets_nobody_in(damage: str, tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "home" / "keys" / "api_keys.json"
    keys = ApiKeys(home, KeyRing.open(home, environ={}), poll_s=0)
    made = keys.create("ingest")
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    elif damage == "empty":
        path.write_text("{}")
    elif damage == "another home's":
        other = tmp_path / "other"
        ApiKeys(other, KeyRing.open(other, environ={})).create("ingest")
        path.write_bytes((other / "keys" / "api_keys.json").read_bytes())
    else:
        changed = {
            "required": ('"required": true', '"required": false'),
            "generation": ('"generation": 1', '"generation": 7'),
        }
        assert changed[damage][0] in text
        path.write_text(text.replace(*changed[damage]))
    assert keys.required
    with pytest.raises(Tampered, match="no API key is taken"):
        keys.verify(made.text)
    keys.revoke_all()
    assert keys.required and not keys
    with pytest.raises(NotAuthenticated):
        keys.verify(made.text)


def test_every_change_is_an_entry(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    keys = ApiKeys(tmp_path, ring)
    made = keys.create("auditor", grants=["read raw text"])
    keys.revoke(made.key.id)
    keys.require(False)
    keys.revoke_all()
    entries = [(e.action, e.subject, e.detail.get("generation")) for e in AuditLog(tmp_path, ring).entries()]
    assert entries == [
        ("keys.create", made.key.id, "1"),
        ("keys.revoke", made.key.id, "2"),
        ("keys.require", "off", "3"),
        ("keys.revoke", "*", "4"),
    ]


def test_the_first_key_asks_for_keys_at_once(tmp_path: Path) -> None:
    """A gateway that has just looked does not go on for the rest of the second."""
    running = ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={}), poll_s=3600)
    assert not running.required
    ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={})).create("ingest")
    assert running.required


def test_a_cut_audit_log_brings_no_revoked_key_back(tmp_path: Path) -> None:
    """An older file of keys, and the log without the entries that say so."""
    ring, path, log = (
        KeyRing.open(tmp_path, environ={}),
        tmp_path / "keys/api_keys.json",
        tmp_path / "audit.log",
    )
    keys = ApiKeys(tmp_path, ring, poll_s=0)
    made = keys.create("ingest")
    old, log_then = path.read_bytes(), log.read_bytes()
    keys.revoke(made.key.id)
    path.write_bytes(old)
    log.write_bytes(log_then)
    fresh = ApiKeys(tmp_path, ring, poll_s=0)
    for reader in (keys, fresh):
        with pytest.raises(Tampered, match=r"older copy"):
            reader.verify(made.text)
        assert reader.required
    fresh.require(True)  # somebody has looked into the file, and says that it is right
    assert fresh.verify(made.text).id == made.key.id


def test_keys_that_are_gone_with_the_log_and_without_a_store_stay_required(tmp_path: Path) -> None:
    """The ring knows that there were some; a store may lie on another machine."""
    ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={})).create("ingest")
    for name in ("keys/api_keys.json", "audit.log", "audit.head"):
        (tmp_path / name).unlink()
    ring = KeyRing.open(tmp_path, environ={})
    keys = ApiKeys(tmp_path, ring, poll_s=0)
    assert keys.required
    with pytest.raises(Tampered, match="is gone"):
        keys.create("ingest")
    assert AuditLog(tmp_path, ring).doubt(None) == "it is gone"
    keys.revoke_all()
    assert not AuditLog(tmp_path, ring).verify().ok, "going on does not hide it"


@pytest.mark.parametrize("killed", ["before the entry", "after the entry"])
@pytest.mark.parametrize("is_first", [True, False])
def test_no_key_is_there_that_nobody_logged(killed: str, is_first: bool, tmp_path: Path) -> None:
    """Whatever ends the command in between."""
    running = ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={}), poll_s=0)
    kept = None if is_first else running.create("ingest")
    program = f"""
import os
from pathlib import Path
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing
home = Path({str(tmp_path)!r})
keys = ApiKeys(home, KeyRing.open(home, environ={{}}))
append = keys._audit.append
def appended(*args, **kwargs):
    if {killed!r} == "after the entry":
        append(*args, **kwargs)
    os.kill(os.getpid(), 9)
keys._audit.append = appended
keys.create("admin") if {is_first} else keys.revoke({kept.key.id if kept else ""!r})
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    fresh = ApiKeys(tmp_path, KeyRing.open(tmp_path, environ={}))
    is_logged = killed == "after the entry"
    for keys in (running, fresh):
        if kept is None:
            assert [k.role for k in keys.list()] == (["admin"] if is_logged else [])
            assert keys.required is is_logged
        else:
            assert bool(keys) is not is_logged
    made = fresh.create("auditor")
    assert running.verify(made.text).id == made.key.id
    assert [*AuditLog(tmp_path, KeyRing.open(tmp_path)).entries()][-1].subject == made.key.id


def test_a_version_that_was_never_noted_is_not_taken(tmp_path: Path) -> None:
    """What a killed command left behind is genuine, and nobody has logged it."""
    ring, path = KeyRing.open(tmp_path, environ={}), tmp_path / "keys" / "api_keys.json"
    keys = ApiKeys(tmp_path, ring, poll_s=0)
    keys.create("ingest")
    kept, log, head = (
        path.read_bytes(),
        (tmp_path / "audit.log").read_bytes(),
        (tmp_path / "audit.head").read_bytes(),
    )
    made = keys.create("admin")
    unlogged = path.read_bytes()
    path.write_bytes(kept)
    (tmp_path / "audit.log").write_bytes(log)
    (tmp_path / "audit.head").write_bytes(head)
    path.with_name("api_keys.json.coming").write_bytes(unlogged)
    with pytest.raises(NotAuthenticated):
        ApiKeys(tmp_path, ring).verify(made.text)
    path.write_bytes(unlogged)
    with pytest.raises(Tampered, match="not the version that the audit log knows"):
        ApiKeys(tmp_path, ring).verify(made.text)


def test_keys_open_while_others_are_made(tmp_path: Path) -> None:
    """No change of the file is taken for an older copy while it is under way."""
    ring = KeyRing.open(tmp_path, environ={})
    made = ApiKeys(tmp_path, ring).create("ingest")
    program = f"""
from pathlib import Path
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing
home = Path({str(tmp_path)!r})
keys = ApiKeys(home, KeyRing.open(home, environ={{}}))
for _ in range(60):
    keys.create("ingest")
"""
    reader, n = ApiKeys(tmp_path, ring, poll_s=0), 0
    with subprocess.Popen([sys.executable, "-c", program]) as maker:
        while maker.poll() is None:
            assert reader.verify(made.text).id == made.key.id
            n += 1
    assert maker.returncode == 0 and n > 60
