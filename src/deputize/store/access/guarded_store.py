"""A store as one actor may see it: rights checked, one tenant only where the actor has one, every look written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deputize.core.errors import AccessDenied
from deputize.core.records import EVERY_TENANT, Call
from deputize.store.access.approvals import Approvals
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import Actor, Right, require
from deputize.store.base import Entry, Erased, Store


class GuardedStore:
    """See store.base.Store for the contract; every method may raise AccessDenied besides."""

    def __init__(
        self, store: Store, actor: Actor, audit: AuditLog, approvals: Approvals | None = None
    ) -> None:
        self._store, self._actor, self._audit, self._approvals = store, actor, audit, approvals

    def _require(self, right: Right, tenant: str | None = None) -> None:
        """Denials are written down too: they are what an auditor looks for first."""
        try:
            require(self._actor, right, tenant=tenant)
        except AccessDenied:
            self._note("denied", tenant=tenant or "", detail={"right": right.value})
            raise

    def _note(
        self, action: str, *, subject: str = "", tenant: str = "", detail: dict[str, str] | None = None
    ) -> None:
        self._audit.append(action, actor=self._actor.name, subject=subject, tenant=tenant, detail=detail)

    def _tenant(self, right: Right, asked: str | None) -> str | None:
        """The tenant to narrow to: the actor's own where it has one; None for all."""
        if self._actor.tenant == EVERY_TENANT:
            self._require(right, asked)
            return asked
        self._require(right, asked or self._actor.tenant)
        return self._actor.tenant

    def append(self, calls: Sequence[Call]) -> int:
        self._require(Right.WRITE_CALLS)
        for tenant in sorted({call.tenant for call in calls}):
            self._require(Right.WRITE_CALLS, tenant)
        return self._store.append(calls)

    def append_entries(self, entries: Sequence[Entry]) -> int:
        self._require(Right.WRITE_CALLS)
        for tenant in sorted({entry.tenant for entry in entries}):
            self._require(Right.WRITE_CALLS, tenant)
        return self._store.append_entries(entries)

    def calls(
        self, *, agent: str | None = None, since: float | None = None, tenant: str | None = None
    ) -> Iterator[Call]:
        narrowed = self._tenant(Right.READ_RAW, tenant)
        self._note("read.raw", tenant=narrowed or EVERY_TENANT)
        return self._store.calls(agent=agent, since=since, tenant=narrowed)

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        tenant = self._tenant(Right.READ_RAW, None)
        self._note("read.raw", tenant=tenant or EVERY_TENANT, detail={"n_calls": str(len(call_ids))})
        found = self._store.get(call_ids)
        return (call if call is not None and tenant in (None, call.tenant) else None for call in found)

    def export(
        self, request_id: str, *, agent: str | None = None, since: float | None = None
    ) -> Iterator[Call]:
        """Raw calls of the tenant that a second person has approved (see store.access.approvals).

        Raises:
            AccessDenied: no right, no approval, or not this actor's.
        """
        self._require(Right.EXPORT_RAW)
        if self._approvals is None:
            raise AccessDenied("Raw exports are not set up here.")
        request = self._approvals.use(self._actor, request_id)
        tenant = None if request.tenant == EVERY_TENANT else request.tenant
        return self._store.calls(agent=agent, since=since, tenant=tenant)

    def count(self) -> int:
        self._require(Right.SEE_STATUS)
        return self._store.count()

    def add_feedback(
        self, *, episode: str = "", call_id: str = "", metric: str, value: float, tenant: str = ""
    ) -> None:
        self._require(Right.WRITE_FEEDBACK)
        self._store.add_feedback(episode=episode, call_id=call_id, metric=metric, value=value, tenant=tenant)

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        self._require(Right.ERASE, tenant)
        # before, not after: an erasure that is not in the log must not have happened
        self._note("erase", subject=origin, tenant=tenant)
        return self._store.erase(origin, tenant=tenant)

    def erased(self, call_ids: Sequence[str]) -> set[str]:
        self._require(Right.SEE_LINEAGE)
        return self._store.erased(call_ids)

    def gone(self, call_ids: Sequence[str]) -> set[str]:
        self._require(Right.SEE_LINEAGE)
        return self._store.gone(call_ids)

    def tenants(self) -> list[str]:
        self._require(Right.SET_RETENTION)
        return self._store.tenants()

    def older(self, *, tenant: str, before: float) -> int:
        self._require(Right.SET_RETENTION, tenant)
        return self._store.older(tenant=tenant, before=before)

    def expire(self, *, tenant: str, before: float) -> int:
        self._require(Right.SET_RETENTION, tenant)
        self._note("expire", tenant=tenant, detail={"before": f"{before:.0f}"})
        return self._store.expire(tenant=tenant, before=before)

    def rewrap(self) -> int:
        self._require(Right.ROTATE_KEYS)
        return self._store.rewrap()

    def compact(self) -> bool:
        self._require(Right.ERASE)
        return self._store.compact()

    def close(self) -> None:
        self._store.close()
