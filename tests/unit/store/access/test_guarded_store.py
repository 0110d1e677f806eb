"""A store as one actor may see it: every method under every role, and raw exports that two people want."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.store.access.test_roles import MATRIX

from deputize.core.errors import AccessDenied, BadInput
from deputize.core.records import Call
from deputize.store.access.approvals import VALID_S, Approvals
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.guarded_store import GuardedStore
from deputize.store.access.roles import Actor, Right, Role, owner
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore

# --- the guarded store: every method under every role ---


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

    def seen_by(self, actor: Actor) -> GuardedStore:
        return GuardedStore(self.store, actor, self.audit, self.approvals)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


NEW = Call(id="new", messages=[], response={})
OPERATIONS: dict[str, tuple[Right, Callable[[GuardedStore], object]]] = {
    "append": (Right.WRITE_CALLS, lambda s: s.append([NEW])),
    "append_entries": (Right.WRITE_CALLS, lambda s: s.append_entries([])),
    "calls": (Right.READ_RAW, lambda s: list(s.calls())),
    "get": (Right.READ_RAW, lambda s: list(s.get([]))),
    "count": (Right.SEE_STATUS, lambda s: s.count()),
    "add_feedback": (Right.WRITE_FEEDBACK, lambda s: s.add_feedback(call_id="a", metric="m", value=1.0)),
    "erase": (Right.ERASE, lambda s: s.erase("o_1")),
    "erased": (Right.SEE_LINEAGE, lambda s: s.erased(["a"])),
    "gone": (Right.SEE_LINEAGE, lambda s: s.gone(["a"])),
    "expire": (Right.SET_RETENTION, lambda s: s.expire(tenant="default", before=9.0)),
    "older": (Right.SET_RETENTION, lambda s: s.older(tenant="default", before=9.0)),
    "tenants": (Right.SET_RETENTION, lambda s: s.tenants()),
    "rewrap": (Right.ROTATE_KEYS, lambda s: s.rewrap()),
    "compact": (Right.ERASE, lambda s: s.compact()),
}


def test_no_operation_is_without_a_row() -> None:
    assert {name for name in vars(GuardedStore) if not name.startswith("_")} == {
        *OPERATIONS,
        "export",
        "close",
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_role_at_every_operation(house: House, role: Role, operation: str) -> None:
    right, do = OPERATIONS[operation]
    before = list(house.store.calls())
    store = house.seen_by(Actor(name="k", role=role.value))
    if role in MATRIX[right]:
        do(store)
    else:
        with pytest.raises(AccessDenied):
            do(store)
        assert list(house.store.calls()) == before
        (entry,) = house.audit.entries()
        assert (entry.action, entry.actor, entry.detail) == ("denied", "k", {"right": right.value})


def test_reading_erasing_and_expiring_are_written_down(house: House) -> None:
    store = house.seen_by(owner())
    store.calls(tenant="t2")
    store.erase("o_1")
    store.expire(tenant="t2", before=9.0)
    written = [(e.action, e.subject, e.tenant) for e in house.audit.entries()]
    assert written == [("read.raw", "", "t2"), ("erase", "o_1", "default"), ("expire", "", "t2")]


def test_an_actor_of_one_tenant_sees_only_that(house: House) -> None:
    store = house.seen_by(Actor(name="k", role="curator", tenant="t2", grants=("read raw text",)))
    assert [c.id for c in store.calls()] == ["b"]
    with pytest.raises(AccessDenied, match="t2 only"):
        store.calls(tenant="default")
    writer = house.seen_by(Actor(name="k", role="ingest", tenant="t2"))
    with pytest.raises(AccessDenied):
        writer.append([NEW])


# --- two people for a raw export ---

ASKER = Actor(name="ann", role="curator", grants=("export raw text",))
ADMIN = Actor(name="bob", role="admin")


def test_a_raw_export_needs_two_people_and_holds_once(house: House) -> None:
    request = house.approvals.ask(ASKER, tenant="t2", purpose="court order 12")
    store = house.seen_by(ASKER)
    with pytest.raises(AccessDenied, match="waits for a second person"):
        store.export(request.id)
    house.approvals.approve(ADMIN, request.id)
    assert [c.id for c in store.export(request.id)] == ["b"]
    with pytest.raises(AccessDenied, match="used up"):
        store.export(request.id)
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
        "hand": Actor(name="hand", role="curator", grants=("export raw text",), line=("boss",)),
        "twin": Actor(name="twin", role="admin", line=("boss",)),
        "child": Actor(name="child", role="admin", line=("boss", "twin")),
        "other": Actor(name="other", role="admin"),
        "others": Actor(name="others", role="admin", line=("other",)),
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
        house.seen_by(other).export(request.id)
    with pytest.raises(BadInput, match="no export request"):
        house.approvals.approve(ADMIN, "x_0")


def test_requests_and_approvals_grow_old(house: House) -> None:
    old, approved = (house.approvals.ask(ASKER, tenant="t2", purpose="p") for _ in range(2))
    house.approvals.approve(ADMIN, approved.id)
    house.now += VALID_S + 1
    with pytest.raises(BadInput, match="more than a day ago"):
        house.approvals.approve(ADMIN, old.id)
    with pytest.raises(AccessDenied, match="older than a day"):
        house.seen_by(ASKER).export(approved.id)
