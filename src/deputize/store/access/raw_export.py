"""Export of raw calls, for which a person needs the right and the approval of a second person."""

from __future__ import annotations

from collections.abc import Iterator

from deputize.core.errors import AccessDenied
from deputize.core.records import EVERY_TENANT, Call
from deputize.store.access.approvals import Approvals
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import Actor, Right, require
from deputize.store.base import Store


def export_raw(
    store: Store, actor: Actor, audit: AuditLog, approvals: Approvals, request_id: str
) -> Iterator[Call]:
    """Raw calls of the tenant that a second person has approved (see store.access.approvals).

    Raises:
        AccessDenied: no right, no approval, or not this actor's. A denial is in the audit log too.
    """
    try:
        require(actor, Right.EXPORT_RAW)
    except AccessDenied:
        audit.append("denied", actor=actor.name, detail={"right": Right.EXPORT_RAW.value})
        raise
    request = approvals.use(actor, request_id)
    return store.calls(tenant=None if request.tenant == EVERY_TENANT else request.tenant)
