"""Raw exports: two people want them, and every denial is written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.store.access.test_roles import MATRIX

from deputize.core.errors import AccessDenied, BadInput
from deputize.core.records import Call
from deputize.store.access.approvals import VALID_S, Approvals
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.raw_export import export_raw
from deputize.store.access.roles import Actor, Right, Role, owner
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore


class Setup:
    """A store with two tenants' calls, its audit log and its approvals, seen by anybody."""

    def __init__(self, folder: Path) -> None:
        self.now = 1.7e9
        ring = KeyRing.open(folder, environ={})
        self.audit = AuditLog(folder, ring)
        self.approvals = Approvals(folder, ring, self.audit, open_key=str, clock=lambda: self.now)
        self.store = MemoryStore()
        self.store.append(
            [
                Call(id="a", messages=[], response={}, origin="o_1", timestamp=5.0),
                Call(id="b", messages=[], response={}, origin="o_1", timestamp=5.0, tenant="t2"),
            ]
        )

    def exported(self, actor: Actor, request_id: str) -> list[Call]:
        return list(export_raw(self.store, actor, self.audit, self.approvals, request_id))


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.mark.parametrize("role", Role)
def test_a_denied_export_is_written_down(setup: Setup, role: Role) -> None:
    actor = Actor(name="k", role=role.value)
    with pytest.raises(AccessDenied):
        setup.exported(actor, "x_0")
    (entry,) = setup.audit.entries()
    assert (entry.action, entry.actor) == ("denied", "k")
    if role not in MATRIX[Right.EXPORT_RAW]:
        assert entry.detail == {"right": Right.EXPORT_RAW.value}


# --- two people for a raw export ---

ASKER = Actor(name="ann", role="curator", grants=("export raw text",))
ADMIN = Actor(name="bob", role="admin")


def test_a_raw_export_needs_two_people_and_holds_once(setup: Setup) -> None:
    request = setup.approvals.ask(ASKER, tenant="t2", purpose="court order 12")
    with pytest.raises(AccessDenied, match="waits for a second person"):
        setup.exported(ASKER, request.id)
    setup.approvals.approve(ADMIN, request.id)
    assert [c.id for c in setup.exported(ASKER, request.id)] == ["b"]
    with pytest.raises(AccessDenied, match="used up"):
        setup.exported(ASKER, request.id)
    assert [(e.action, e.actor) for e in setup.audit.entries()] == [
        ("export.ask", "ann"),
        ("denied", "ann"),
        ("export.approve", "bob"),
        ("export.raw", "ann"),
        ("denied", "ann"),
    ]
    assert setup.approvals.all()[0].used_at is not None


def test_nobody_approves_their_own_export(setup: Setup) -> None:
    me = Actor(name="me", role="admin", grants=("export raw text",))
    request = setup.approvals.ask(me, tenant="*", purpose="backup")
    with pytest.raises(AccessDenied, match="somebody else has to approve"):
        setup.approvals.approve(me, request.id)
    with pytest.raises(AccessDenied, match="two API keys"):
        setup.approvals.ask(owner(), tenant="*", purpose="backup")
    with pytest.raises(AccessDenied, match="two API keys"):
        setup.approvals.approve(owner(), request.id)


def test_two_keys_in_one_hand_are_one_person(setup: Setup) -> None:
    """Whoever made a key has had it in hand; an admin who makes a key to ask with is not a second person."""
    made = {
        "boss": Actor(name="boss", role="admin"),
        "hand": Actor(name="hand", role="curator", grants=("export raw text",), issuer_chain=("boss",)),
        "sibling": Actor(name="sibling", role="admin", issuer_chain=("boss",)),
        "child": Actor(name="child", role="admin", issuer_chain=("boss", "sibling")),
        "other": Actor(name="other", role="admin"),
        "others": Actor(name="others", role="admin", issuer_chain=("other",)),
    }
    for name in ("boss", "sibling", "child"):
        request = setup.approvals.ask(made["hand"], tenant="t2", purpose="p")
        with pytest.raises(AccessDenied, match="may be one person, for both keys come from boss"):
            setup.approvals.approve(made[name], request.id)
    for name in ("other", "others"):
        request = setup.approvals.ask(made["hand"], tenant="t2", purpose="p")
        assert setup.approvals.approve(made[name], request.id).approved_by == name


def test_rights_bound_exports(setup: Setup) -> None:
    with pytest.raises(AccessDenied):
        setup.approvals.ask(ADMIN, tenant="t2", purpose="curious")
    with pytest.raises(BadInput, match="purpose"):
        setup.approvals.ask(ASKER, tenant="t2", purpose=" ")
    request = setup.approvals.ask(ASKER, tenant="t2", purpose="p")
    with pytest.raises(AccessDenied):
        setup.approvals.approve(ASKER, request.id)
    with pytest.raises(AccessDenied):
        setup.approvals.approve(Actor(name="c", role="admin", tenant="t3"), request.id)
    setup.approvals.approve(ADMIN, request.id)
    with pytest.raises(BadInput, match="already"):
        setup.approvals.approve(ADMIN, request.id)
    other = Actor(name="eve", role="curator", grants=("export raw text",))
    with pytest.raises(AccessDenied, match="somebody else"):
        setup.exported(other, request.id)
    with pytest.raises(BadInput, match="no export request"):
        setup.approvals.approve(ADMIN, "x_0")


def test_requests_and_approvals_grow_old(setup: Setup) -> None:
    old, approved = (setup.approvals.ask(ASKER, tenant="t2", purpose="p") for _ in range(2))
    setup.approvals.approve(ADMIN, approved.id)
    setup.now += VALID_S + 1
    with pytest.raises(BadInput, match="more than a day ago"):
        setup.approvals.approve(ADMIN, old.id)
    with pytest.raises(AccessDenied, match="older than a day"):
        setup.exported(ASKER, approved.id)
