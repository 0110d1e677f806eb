"""A raw export: one asks, somebody else approves, the first uses it once, within a day."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import AccessDenied, BadInput
from deputize.home import Home
from deputize.store.access.approvals import VALID_S, Approvals
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import Actor
from deputize.store.keys.keyring import KeyRing
from deputize.testing import ManualClock

ANN = Actor(name="ann", role="curator", grants=("export raw text",))
EVE = Actor(name="eve", role="admin")


def test_an_approval_holds_once_for_who_asked_within_a_day(tmp_path: Path) -> None:
    clock, ring = ManualClock(), KeyRing.open(tmp_path, environ={})
    approvals = Approvals(tmp_path, ring, AuditLog(tmp_path, ring), open_key=str, clock=clock)
    with pytest.raises(BadInput, match="purpose"):
        approvals.ask(ANN, tenant="default", purpose=" ")
    asked = approvals.ask(ANN, tenant="default", purpose="an incident")
    with pytest.raises(AccessDenied, match="waits for a second person"):
        approvals.use(ANN, asked.id)
    approvals.approve(EVE, asked.id)
    with pytest.raises(BadInput, match="approved already"):
        approvals.approve(EVE, asked.id)
    clock.advance(VALID_S + 1)
    with pytest.raises(AccessDenied, match="older than a day"):
        approvals.use(ANN, asked.id)
    again = approvals.ask(ANN, tenant="default", purpose="an incident")
    approvals.approve(EVE, again.id)
    approvals.use(ANN, again.id)
    with pytest.raises(AccessDenied, match="used up"):
        approvals.use(ANN, again.id)
    assert [r.id for r in approvals.all()] == [asked.id, again.id]
    assert b"incident" not in (tmp_path / "exports.sealed").read_bytes()


def test_an_older_file_of_requests_gives_no_approval_back(tmp_path: Path) -> None:
    """Nor with the end of the audit log cut off, so that it does not say that the approval was used."""
    ring, path, log = KeyRing.open(tmp_path, environ={}), tmp_path / "exports.sealed", tmp_path / "audit.log"
    approvals = Approvals(tmp_path, ring, AuditLog(tmp_path, ring), open_key=str)
    id = approvals.ask(ANN, tenant="default", purpose="an incident").id
    approvals.approve(EVE, id)
    approved, log_then = path.read_bytes(), log.read_bytes()
    approvals.use(ANN, id)
    path.write_bytes(approved)
    with pytest.raises(AccessDenied, match="used up, as the audit log knows"):
        approvals.use(ANN, id)
    log.write_bytes(log_then)
    with pytest.raises(AccessDenied, match="not whole"):
        approvals.use(ANN, id)


def test_a_key_that_was_revoked_since_has_approved_nothing(tmp_path: Path) -> None:
    """A key is revoked where somebody else has had it, who may have approved with it."""
    with Home(tmp_path, environ={}) as home:
        made = {
            name: home.api_keys.create(
                role,
                grants=["export raw text"] if name == "asker" else (),
                maker=Actor(name=f"local:{name}", role="owner", issuer_chain=(f"local:{name}",)),
            ).key
            for name, role in (("asker", "curator"), ("approver", "admin"))
        }
        other = home.api_keys.create("admin").key
        ids = []
        for _ in range(2):
            asked = home.approvals.ask(made["asker"].actor, tenant="default", purpose="an incident")
            home.approvals.approve(made["approver"].actor, asked.id)
            ids.append(asked.id)
        home.api_keys.revoke(other.id)
        home.approvals.use(made["asker"].actor, ids[0])
        home.api_keys.revoke(made["approver"].id)
        with pytest.raises(AccessDenied, match="was revoked or has expired since"):
            home.approvals.use(made["asker"].actor, ids[1])
        assert [e.action for e in home.audit.entries()][-1] == "denied"
