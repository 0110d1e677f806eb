"""A store whose every reading of raw calls is written to the audit log before the first call is seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from deputize.core.records import Call, Message
from deputize.store.access.audit_log import AuditLog
from deputize.store.base import Entry, Erased, Store


class AuditedStore:
    """See store.base.Store for the contract; the log names whom `audit_log.acts_as` does, else the local user."""

    def __init__(self, store: Store, audit: AuditLog) -> None:
        self._store, self._audit = store, audit

    def append(self, calls: Sequence[Call]) -> int:
        return self._store.append(calls)

    def append_entries(self, entries: Sequence[Entry]) -> int:
        return self._store.append_entries(entries)

    def calls(
        self, *, agent: str | None = None, since: float | None = None, tenant: str | None = None
    ) -> Iterator[Call]:
        # when it is asked for, not when the iterator is first moved
        self._audit.append("read.raw", tenant=tenant or "*")
        return self._store.calls(agent=agent, since=since, tenant=tenant)

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        self._audit.append("read.raw", tenant="*", detail={"n_calls": str(len(call_ids))})
        return self._store.get(call_ids)

    def count(self) -> int:
        return self._store.count()

    def add_feedback(
        self,
        *,
        episode: str = "",
        call_id: str = "",
        metric: str,
        value: float,
        tenant: str = "",
        correction: Message | None = None,
    ) -> None:
        self._store.add_feedback(
            episode=episode,
            call_id=call_id,
            metric=metric,
            value=value,
            tenant=tenant,
            correction=correction,
        )

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        return self._store.erase(origin, tenant=tenant)

    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        return self._store.erase_calls(call_ids, tenant=tenant, episodes=episodes)

    def erased(self, call_ids: Sequence[str]) -> set[str]:
        return self._store.erased(call_ids)

    def gone(self, call_ids: Sequence[str]) -> set[str]:
        return self._store.gone(call_ids)

    def has_episode(self, tenant: str, episode: str) -> bool:
        return self._store.has_episode(tenant, episode)

    def tenants(self) -> list[str]:
        return self._store.tenants()

    def older(self, *, tenant: str, before: float) -> int:
        return self._store.older(tenant=tenant, before=before)

    def expire(self, *, tenant: str, before: float) -> int:
        return self._store.expire(tenant=tenant, before=before)

    def rewrap(self) -> int:
        return self._store.rewrap()

    def compact(self) -> bool:
        return self._store.compact()

    def close(self) -> None:
        self._store.close()
