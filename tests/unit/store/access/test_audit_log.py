from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from deputize.core.errors import StoreError
from deputize.home import Home
from deputize.store.access.audit_log import AuditLog, verify
from deputize.store.keys.keyring import KeyRing


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(tmp_path, KeyRing.open(tmp_path, environ={}), clock=lambda: 1.7e9)
    for i in range(1, 9):
        made.append(
            "read.raw", actor=f"person{i}", subject=f"o_{i}", tenant="t", detail={"why": "b", "a": str(i)}
        )
    return made


def lines(home: Path) -> list[bytes]:
    return (home / "audit.log").read_bytes().splitlines(keepends=True)


def test_an_untouched_log_holds(tmp_path: Path, log: AuditLog) -> None:
    verdict = log.verify()
    assert (verdict.ok, verdict.n_entries, verdict.broken_at) == (True, 8, None)
    assert verdict.head == log.head()
    assert [e.actor for e in log.entries()][:2] == ["person1", "person2"]
    assert (tmp_path / "audit.log").stat().st_mode & 0o077 == 0


def test_an_empty_log_holds(tmp_path: Path) -> None:
    assert AuditLog(tmp_path, KeyRing.open(tmp_path, environ={})).verify().ok


def signature(line: bytes) -> bytes:
    found: str = json.loads(line)["signature"]
    return found.encode()


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, tuple[Change, int, str]] = {
    "a flipped word": (
        lambda ls: [*ls[:2], ls[2].replace(b"person3", b"person9"), *ls[3:]],
        3,
        "was changed",
    ),
    "a flipped time": (lambda ls: [*ls[:4], ls[4].replace(b"17000", b"16000"), *ls[5:]], 5, "was changed"),
    "a detail": (lambda ls: [ls[0].replace(b'"why":"b"', b'"why":"c"'), *ls[1:]], 1, "was changed"),
    "another actor": (
        lambda ls: [*ls[:1], ls[1].replace(b'"actor":"person2"', b'"actor":"person1"'), *ls[2:]],
        2,
        "was changed",
    ),
    "another action": (
        lambda ls: [*ls[:1], ls[1].replace(b"read.raw", b"read.war"), *ls[2:]],
        2,
        "was changed",
    ),
    "another subject": (
        lambda ls: [*ls[:1], ls[1].replace(b'"subject":"o_2"', b'"subject":"o_3"'), *ls[2:]],
        2,
        "was changed",
    ),
    "another tenant": (
        lambda ls: [*ls[:1], ls[1].replace(b'"tenant":"t"', b'"tenant":"u"'), *ls[2:]],
        2,
        "was changed",
    ),
    "a signature of another entry": (
        lambda ls: [*ls[:1], ls[1].replace(signature(ls[1]), signature(ls[2])), *ls[2:]],
        2,
        "forged",
    ),
    "a deleted entry": (lambda ls: ls[:3] + ls[4:], 4, "missing or was moved"),
    "a deleted first entry": (lambda ls: ls[1:], 1, "missing or was moved"),
    "two in the other order": (lambda ls: [*ls[:4], ls[5], ls[4], *ls[6:]], 5, "missing or was moved"),
    "one twice": (lambda ls: [*ls[:2], ls[1], *ls[2:]], 3, "missing or was moved"),
    "the end cut off": (lambda ls: ls[:6], 7, "the end was cut off"),
    "half a line": (lambda ls: [*ls[:7], ls[7][:40]], 8, "cannot be read"),
    "an empty log": (lambda ls: [], 1, "the end was cut off"),
    "rubbish": (lambda ls: [*ls[:5], b"\xff\xfe{}\n", *ls[5:]], 6, "cannot be read"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_first_broken_link_is_named(tmp_path: Path, log: AuditLog, name: str) -> None:
    change, at, why = CHANGES[name]
    (tmp_path / "audit.log").write_bytes(b"".join(change(lines(tmp_path))))
    verdict = log.verify()
    assert (verdict.ok, verdict.broken_at, verdict.n_entries) == (False, at, at - 1)
    assert why in verdict.why


@pytest.mark.parametrize("name", CHANGES)
def test_going_on_does_not_hide_a_break(tmp_path: Path, log: AuditLog, name: str) -> None:
    change, at, _ = CHANGES[name]
    (tmp_path / "audit.log").write_bytes(b"".join(change(lines(tmp_path))))
    log.append("later")
    verdict = log.verify()
    assert not verdict.ok
    assert verdict.broken_at is not None and verdict.broken_at <= at


def test_a_chain_made_again_by_somebody_else_is_forged(tmp_path: Path, log: AuditLog) -> None:
    other = AuditLog(tmp_path / "other", KeyRing.open(tmp_path / "other", environ={}))
    for i in range(8):
        other.append("nothing", actor=f"person{i}")
    (tmp_path / "audit.log").write_bytes((tmp_path / "other" / "audit.log").read_bytes())
    assert "forged" in log.verify().why
    (tmp_path / "audit.head").write_bytes((tmp_path / "other" / "audit.head").read_bytes())
    assert log.verify().broken_at == 1


def test_a_head_that_somebody_else_wrote_is_not_genuine(tmp_path: Path, log: AuditLog) -> None:
    """The end cut off, and a head to match without a signature of ours."""
    kept = lines(tmp_path)[:5]
    (tmp_path / "audit.log").write_bytes(b"".join(kept))
    for signature_of_head in ("", json.loads((tmp_path / "audit.head").read_bytes())["signature"]):
        head = {"n": 5, "hash": json.loads(kept[-1])["hash"], "signature": signature_of_head}
        (tmp_path / "audit.head").write_text(json.dumps(head))
        verdict = log.verify()
        assert not verdict.ok and "not genuine" in verdict.why
        assert log.head() is None


def test_a_log_that_is_gone_with_its_head_is_missed_by_the_store(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    Home(tmp_path, keyring=ring).open_store().close()
    log = AuditLog(tmp_path, ring)
    log.append("erase", subject="o_1")
    assert log.verify().ok
    (tmp_path / "audit.head").unlink()
    for gone in (
        lambda: (tmp_path / "audit.log").unlink(),
        lambda: (tmp_path / "audit.log").write_bytes(b""),
    ):
        gone()
        verdict = log.verify()
        assert (verdict.ok, verdict.broken_at) == (False, 1) and "whole log is gone" in verdict.why
    (tmp_path / "audit.log").unlink()
    log.append("as if nothing had been")
    verdict = log.verify()
    assert (verdict.ok, verdict.broken_at) == (False, 1), "going on does not hide it"


def test_what_an_entry_says_of_the_one_before_is_in_its_hash(tmp_path: Path) -> None:
    """Two logs with the same entries after another beginning: no entry of one fits into the other."""
    ring = KeyRing.open(tmp_path, environ={})
    hashes = []
    for name in ("one", "two"):
        log = AuditLog(tmp_path / name, ring, clock=lambda: 1.7e9)
        log.append("erase", actor=name)
        hashes.append(log.append("erase", actor="later").hash)
    assert hashes[0] != hashes[1]


def test_a_missing_head_is_noticed_even_after_more_was_logged(tmp_path: Path, log: AuditLog) -> None:
    (tmp_path / "audit.log").write_bytes(b"".join(lines(tmp_path)[:5]))
    (tmp_path / "audit.head").unlink()
    assert "signed head" in log.verify().why
    log.append("later")
    verdict = log.verify()
    assert (verdict.ok, verdict.broken_at) == (False, 6)
    assert "signed head was removed" in verdict.why


def test_a_head_kept_elsewhere_shows_an_older_copy(tmp_path: Path, log: AuditLog) -> None:
    copies = {name: (tmp_path / name).read_bytes() for name in ("audit.log", "audit.head")}
    for _ in range(3):
        log.append("something to hide")
    kept = log.head()
    for name, data in copies.items():
        (tmp_path / name).write_bytes(data)
    assert log.verify().ok, "alone it looks whole"
    verdict = log.verify(known_head=kept)
    assert (verdict.ok, verdict.broken_at) == (False, 9)


def test_an_auditor_needs_only_the_public_key(tmp_path: Path, log: AuditLog) -> None:
    assert verify(tmp_path, log.public_key).ok


def test_a_crash_between_entry_and_head_does_no_harm(tmp_path: Path, log: AuditLog) -> None:
    head = (tmp_path / "audit.head").read_bytes()
    log.append("the last before the crash")
    (tmp_path / "audit.head").write_bytes(head)
    assert log.verify().ok
    log.append("after")
    assert (log.verify().ok, log.verify().n_entries) == (True, 10)


def test_a_line_torn_by_a_crash_is_cut_away(tmp_path: Path, log: AuditLog) -> None:
    with (tmp_path / "audit.log").open("ab") as file:
        file.write(b'{"n":9,"at":17')
    log.append("after")
    assert (log.verify().ok, log.verify().n_entries) == (True, 9)


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    (tmp_path / "audit.log").mkdir()
    with pytest.raises(StoreError, match="audit log"):
        AuditLog(tmp_path, ring).append("x")


def _append(home: str) -> None:
    log = AuditLog(Path(home), KeyRing.open(Path(home), environ={}))
    for _ in range(25):
        log.append("x")


def test_processes_append_to_one_chain(tmp_path: Path, log: AuditLog) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_append, [str(tmp_path)] * 3)
    verdict = log.verify()
    assert (verdict.ok, verdict.n_entries) == (True, 83)


def test_opening_a_store_and_reading_it_are_logged(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    store = Home(tmp_path, keyring=ring).open_store()
    store.calls(tenant="t2")
    list(store.calls())
    store.close()
    log = AuditLog(tmp_path, ring)
    assert [(e.action, e.tenant) for e in log.entries()] == [
        ("keys.use", ""),
        ("read.raw", "t2"),
        ("read.raw", "*"),
    ]
    assert all(e.actor.startswith("local:") for e in log.entries())
    assert log.verify().ok
