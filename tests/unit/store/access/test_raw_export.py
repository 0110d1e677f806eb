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


class House:
    """A store with two tenants' calls, its audit log and its approvals, seen by anybody."""

    def __init__(self, folder: Path) -> None:
        self.now = 1.7e9
        ring = KeyRing.open(folder, environ={})
        self.audit = AuditLog(folder, ring)
        self.approvals = Approvals(folder, ring, self.audit, clock=lambda: self.now)
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
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("role", Role)
def test_a_denied_export_is_written_down(house: House, role: Role) -> None:
    actor = Actor(name="k", role=role.value)
    with pytest.raises(AccessDenied):
        house.exported(actor, "x_0")
    (entry,) = house.audit.entries()
    assert (entry.action, entry.actor) == ("denied", "k")
    if role not in MATRIX[Right.EXPORT_RAW]:
        assert entry.detail == {"right": Right.EXPORT_RAW.value}


# --- two people for a raw export ---

ASKER = Actor(name="ann", role="curator", grants=("export raw text",))
ADMIN = Actor(name="bob", role="admin")


def test_a_raw_export_needs_two_people_and_holds_once(house: House) -> None:
    request = house.approvals.ask(ASKER, tenant="t2", purpose="court order 12")
    with pytest.raises(AccessDenied, match="waits for a second person"):
        house.exported(ASKER, request.id)
    house.approvals.approve(ADMIN, request.id)
    assert [c.id for c in house.exported(ASKER, request.id)] == ["b"]
    with pytest.raises(AccessDenied, match="used up"):
        house.exported(ASKER, request.id)
    assert [(e.action, e.actor) for e in house.audit.entries()] == [
        ("export.ask", "ann"),
        ("denied", "ann"),
        ("export.approve", "bob"),
        ("export.raw", "ann"),
        ("denied", "ann"),
    ]
    assert house.approvals.all()[0].used_at is not None


def test_nobody_approves_their_own_export(house: House) -> None:
    me = Actor(name="me", role="admin", grants=("export raw text",))
    request = house.approvals.ask(me, tenant="*", purpose="backup")
    with pytest.raises(AccessDenied, match="somebody else has to approve"):
        house.approvals.approve(me, request.id)
    with pytest.raises(AccessDenied, match="two API keys"):
        house.approvals.ask(owner(), tenant="*", purpose="backup")
    with pytest.raises(AccessDenied, match="two API keys"):
        house.approvals.approve(owner(), request.id)


def test_two_keys_in_one_hand_are_one_person(house: House) -> None:
    """Whoever made a key has had it in hand; an admin who makes a key to ask with is not a second person."""
    made = {
        "boss": Actor(name="boss", role="admin"),
        "hand": Actor(name="hand", role="curator", grants=("export raw text",), issuer_chain=("boss",)),
        "twin": Actor(name="twin", role="admin", issuer_chain=("boss",)),
        "child": Actor(name="child", role="admin", issuer_chain=("boss", "twin")),
        "other": Actor(name="other", role="admin"),
        "others": Actor(name="others", role="admin", issuer_chain=("other",)),
    }
    for name in ("boss", "twin", "child"):
        request = house.approvals.ask(made["hand"], tenant="t2", purpose="p")
        with pytest.raises(AccessDenied, match="may be one person, for both keys come from boss"):
            house.approvals.approve(made[name], request.id)
    for name in ("other", "others"):
        request = house.approvals.ask(made["hand"], tenant="t2", purpose="p")
        assert house.approvals.approve(made[name], request.id).approved_by == name


def test_rights_bound_exports(house: House) -> None:
    with pytest.raises(AccessDenied):
        house.approvals.ask(ADMIN, tenant="t2", purpose="curious")
    with pytest.raises(BadInput, match="purpose"):
        house.approvals.ask(ASKER, tenant="t2", purpose=" ")
    request = house.approvals.ask(ASKER, tenant="t2", purpose="p")
    with pytest.raises(AccessDenied):
        house.approvals.approve(ASKER, request.id)
    with pytest.raises(AccessDenied):
        house.approvals.approve(Actor(name="c", role="admin", tenant="t3"), request.id)
    house.approvals.approve(ADMIN, request.id)
    with pytest.raises(BadInput, match="already"):
        house.approvals.approve(ADMIN, request.id)
    other = Actor(name="eve", role="curator", grants=("export raw text",))
    with pytest.raises(AccessDenied, match="somebody else"):
        house.exported(other, request.id)
    with pytest.raises(BadInput, match="no export request"):
        house.approvals.approve(ADMIN, "x_0")


def test_requests_and_approvals_grow_old(house: House) -> None:
    old, approved = (house.approvals.ask(ASKER, tenant="t2", purpose="p") for _ in range(2))
    house.approvals.approve(ADMIN, approved.id)
    house.now += VALID_S + 1
    with pytest.raises(BadInput, match="more than a day ago"):
        house.approvals.approve(ADMIN, old.id)
    with pytest.raises(AccessDenied, match="older than a day"):
        house.exported(ASKER, approved.id)
