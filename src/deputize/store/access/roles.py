"""Who may do what. Everything that is not listed here is denied.

Reading raw text (calls as they were sent) is a right of its own that no role brings along: it is granted to a person,
by name. Reading curated (de-identified) text belongs to the curator. Exporting raw text needs a second person.
"""

from __future__ import annotations

from enum import Enum

from deputize.core.errors import AccessDenied
from deputize.core.records import EVERY_TENANT, Record
from deputize.store.access.local_user import local_person, local_user


class Role(Enum):
    """Role of a person or program."""

    INGEST = "ingest"
    """An agent: sends calls and says how they turned out."""
    OPERATOR = "operator"
    """Runs the gateway and its routes."""
    CURATOR = "curator"
    """Turns calls into specialists, and says which answers were right."""
    AUDITOR = "auditor"
    """Looks at who did what; changes nothing."""
    ADMIN = "admin"
    """Hands out keys, sets limits, rotates."""
    ERASURE_OFFICER = "erasure_officer"
    """Makes a data subject's traces unreadable."""
    OWNER = "owner"
    """Whoever holds the home folder and its key file on this machine: the command line's user. Never given to a key."""


class Right(Enum):
    """One thing that can be done."""

    WRITE_CALLS = "write calls"
    WRITE_FEEDBACK = "write feedback"
    SEE_STATUS = "see status"
    """Counts, metrics, reports without text."""
    RUN_GATEWAY = "run the gateway"
    PROMOTE_ROUTES = "promote routes"
    """Also roll back and close."""
    READ_CURATED = "read curated text"
    RUN_STAGES = "run stages"
    READ_RAW = "read raw text"
    EXPORT_RAW = "export raw text"
    APPROVE_EXPORT = "approve a raw export"
    OVERRIDE_ROUTES = "override routes"
    """Have a specialist answer whatever its confidence and the state of its route."""
    READ_AUDIT = "read the audit log"
    MANAGE_KEYS = "manage API keys"
    ROTATE_KEYS = "rotate keys"
    SET_RETENTION = "set retention"
    ERASE = "erase an origin"
    EXPORT_SUBJECT = "export a person's own data"
    SEE_LINEAGE = "see lineage"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.INGEST: frozenset({Right.WRITE_CALLS, Right.WRITE_FEEDBACK}),
    Role.OPERATOR: frozenset({Right.SEE_STATUS, Right.RUN_GATEWAY, Right.PROMOTE_ROUTES}),
    Role.CURATOR: frozenset(
        {Right.SEE_STATUS, Right.READ_CURATED, Right.RUN_STAGES, Right.SEE_LINEAGE, Right.WRITE_FEEDBACK}
    ),
    Role.AUDITOR: frozenset({Right.SEE_STATUS, Right.READ_AUDIT, Right.SEE_LINEAGE}),
    Role.ADMIN: frozenset(
        {
            Right.SEE_STATUS,
            Right.MANAGE_KEYS,
            Right.ROTATE_KEYS,
            Right.SET_RETENTION,
            Right.APPROVE_EXPORT,
        }
    ),
    Role.ERASURE_OFFICER: frozenset({Right.ERASE, Right.EXPORT_SUBJECT, Right.SEE_LINEAGE}),
    Role.OWNER: frozenset(Right),
}

GRANTABLE = frozenset({Right.READ_RAW, Right.EXPORT_RAW, Right.OVERRIDE_ROUTES})
"""Rights that a person can be given on top of a role."""


class Actor(Record, frozen=True):
    """Somebody who does something."""

    name: str
    """API key id or the operating system's user; what the audit log says."""
    role: str
    """Value of a Role; anything else has no rights."""
    tenant: str = EVERY_TENANT
    """The one tenant it may touch, or "*"."""
    grants: tuple[str, ...] = ()
    """Values of GRANTABLE rights."""
    issuer_chain: tuple[str, ...] = ()
    """People and keys that it comes from: the local person (local_user.local_person), the local user, then ids of
    keys."""


def owner() -> Actor:
    """Whoever runs this process, at the machine where the home lies."""
    return Actor(name=local_user(), role=Role.OWNER.value, issuer_chain=(local_person(),))


def parse_role(text: str) -> Role:
    """The role of that name. Raises AccessDenied for any other."""
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(r.value for r in Role if r is not Role.OWNER)
        raise AccessDenied(f"{text!r} is not a role; there are {known}.") from None


def rights_of(actor: Actor) -> frozenset[Right]:
    """Everything an actor may do; nothing for an unknown role."""
    try:
        own = RIGHTS[Role(actor.role)]
    except (ValueError, KeyError):
        return frozenset()
    return own | {right for right in GRANTABLE if right.value in actor.grants}


def may(actor: Actor, right: Right, *, tenant: str | None = None) -> bool:
    """True where an actor may do it, to this tenant where one is named."""
    if right not in rights_of(actor):
        return False
    return tenant is None or actor.tenant in (EVERY_TENANT, tenant)


def require(actor: Actor, right: Right, *, tenant: str | None = None) -> None:
    """Raises AccessDenied, saying what is missing, unless the actor may do it."""
    if right not in rights_of(actor):
        raise AccessDenied(f"{actor.name} ({actor.role or 'no role'}) may not {right.value}.")
    if not may(actor, right, tenant=tenant):
        raise AccessDenied(
            f"{actor.name} may {right.value} for the tenant {actor.tenant} only, not for {tenant}."
        )
