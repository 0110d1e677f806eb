"""Every reading of raw calls is in the audit log before the first call is seen; all else passes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import StoreError
from deputize.store.access.audit_log import AuditLog, acts_as
from deputize.store.access.audited_store import AuditedStore
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.testing import ManualClock, call, check_store


def test_readings_are_noted_when_they_are_asked_for(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path, KeyRing.open(tmp_path, environ={}))
    store: Store = AuditedStore(MemoryStore(), audit)
    store.append([call("a")])
    with acts_as("key-1"):
        reading = store.calls(tenant="default")
    assert [(e.action, e.actor, e.tenant) for e in audit.entries()] == [("read.raw", "key-1", "default")]
    assert [c.id for c in reading] == ["a"]


def test_a_log_that_cannot_be_written_shows_no_call(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "home", KeyRing.open(tmp_path, environ={}))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "audit.log").mkdir()
    with pytest.raises(StoreError, match="audit log"):
        AuditedStore(MemoryStore(), audit).calls()


def test_it_keeps_the_contract_of_the_store_in_it(tmp_path: Path) -> None:
    clock = ManualClock()
    inner, audit = MemoryStore(clock=clock), AuditLog(tmp_path, KeyRing.open(tmp_path, environ={}))
    check_store(lambda: AuditedStore(inner, audit), clock=clock)
