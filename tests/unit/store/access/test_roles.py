from __future__ import annotations

import pytest

from deputize.core.errors import AccessDenied
from deputize.store.access.roles import RIGHTS, Actor, Right, Role, may, owner, parse_role, require, rights_of

MATRIX: dict[Right, set[Role]] = {
    Right.WRITE_CALLS: {Role.INGEST, Role.OWNER},
    Right.WRITE_FEEDBACK: {Role.INGEST, Role.CURATOR, Role.OWNER},
    Right.SEE_STATUS: {Role.OPERATOR, Role.CURATOR, Role.AUDITOR, Role.ADMIN, Role.OWNER},
    Right.RUN_GATEWAY: {Role.OPERATOR, Role.OWNER},
    Right.PROMOTE_ROUTES: {Role.OPERATOR, Role.OWNER},
    Right.READ_CURATED: {Role.CURATOR, Role.OWNER},
    Right.RUN_STAGES: {Role.CURATOR, Role.OWNER},
    Right.READ_RAW: {Role.OWNER},
    Right.EXPORT_RAW: {Role.OWNER},
    Right.APPROVE_EXPORT: {Role.ADMIN, Role.OWNER},
    Right.OVERRIDE_ROUTES: {Role.OWNER},
    Right.READ_AUDIT: {Role.AUDITOR, Role.OWNER},
    Right.MANAGE_KEYS: {Role.ADMIN, Role.OWNER},
    Right.ROTATE_KEYS: {Role.ADMIN, Role.OWNER},
    Right.SET_RETENTION: {Role.ADMIN, Role.OWNER},
    Right.ERASE: {Role.ERASURE_OFFICER, Role.OWNER},
    Right.EXPORT_SUBJECT: {Role.ERASURE_OFFICER, Role.OWNER},
    Right.SEE_LINEAGE: {Role.CURATOR, Role.AUDITOR, Role.ERASURE_OFFICER, Role.OWNER},
}
"""Written out a second time on purpose: a change of rights has to be meant twice."""


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("right", Right)
def test_the_role_matrix(role: Role, right: Right) -> None:
    actor = Actor(name="k", role=role.value)
    allowed = role in MATRIX[right]
    assert may(actor, right) is allowed
    if allowed:
        require(actor, right)
    else:
        with pytest.raises(AccessDenied, match=f"may not {right.value}"):
            require(actor, right)


def test_the_matrix_covers_everything() -> None:
    assert set(MATRIX) == set(Right)
    assert set(RIGHTS) == set(Role)


@pytest.mark.parametrize("role", ["", "root", "ADMIN", "owner "])
def test_unknown_roles_have_no_rights(role: str) -> None:
    assert rights_of(Actor(name="k", role=role)) == frozenset()
    with pytest.raises(AccessDenied, match="is not a role"):
        parse_role(role)


def test_reading_raw_text_is_granted_by_name_and_nothing_else_can_be() -> None:
    curator = Actor(name="k", role="curator", grants=("read raw text",))
    assert may(curator, Right.READ_RAW)
    assert not may(curator, Right.EXPORT_RAW)
    greedy = Actor(name="k", role="ingest", grants=tuple(r.value for r in Right))
    granted = {Right.READ_RAW, Right.EXPORT_RAW, Right.OVERRIDE_ROUTES}
    assert rights_of(greedy) == RIGHTS[Role.INGEST] | granted


def test_a_tenant_bounds_a_right() -> None:
    officer = Actor(name="k", role="erasure_officer", tenant="a")
    require(officer, Right.ERASE, tenant="a")
    with pytest.raises(AccessDenied, match="for the tenant a only, not for b"):
        require(officer, Right.ERASE, tenant="b")
    assert may(owner(), Right.ERASE, tenant="b")
