"""What the live page knows of the stored calls: a few facts of each, and sums by day and minute. No text of a call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from heapq import merge
from threading import Lock
from typing import Literal, cast, get_args

import msgspec

from deputize.core.certificate_age import DAY_S
from deputize.core.records import Call
from deputize.pipeline.readiness import CallSpend, Served

MINUTE_S = 60.0
MINUTES_KEPT = 24 * 60
FACTS_KEPT = 100_000
"""Calls of each tenant whose facts are kept; older ones are in the sums only."""
BOTH_FINE = "both_fine"
"""Metric of feedback on an audit: specialist and LLM differed, and either answer would do."""

Verdict = Literal["", "llm_wrong", "specialist_wrong", "both_fine"]
"""What a person said of an audit, or of a comparison in shadow, whose answers differ; "": nothing yet."""
SAID = frozenset(get_args(Verdict)) - {""}


class CallFact(msgspec.Struct, frozen=True, gc=False):
    """Facts about one stored call."""

    id: str
    at_s: float
    """Unix seconds; 0 where the log has no time."""
    tenant: str
    agent: str
    site: str
    model: str
    route: str
    reason: str
    status: int
    ms: float | None
    is_served: bool
    audit_of: str
    agrees: bool | None
    """Of an audit, or a comparison in shadow."""
    saved_usd: float

    @property
    def asked(self) -> str:
        """The id of the call that it answers: its own, or that which it audits."""
        return self.audit_of or self.id


class Minute(msgspec.Struct):
    """Calls that began within one minute."""

    n_specialist: int = 0
    n_llm: int = 0
    n_failed: int = 0
    """Of both: with a status from 400 on."""


class CallIndex:
    """Facts and sums of the calls of a home. For several threads."""

    def __init__(self, spend: Callable[[Call], CallSpend]) -> None:
        """`spend` gives money and energy of a call."""
        self._spend = spend
        self._lock = Lock()
        self._facts: dict[str, dict[str, CallFact]] = defaultdict(dict)
        """Tenant -> id -> facts of its newest calls, in the order they came."""
        self._n_counted = 0
        self._words: dict[str, str] = {}
        self._sums: dict[str, dict[int, dict[str, Served]]] = defaultdict(dict)
        """Tenant -> day -> route ("": all) -> sums."""
        self._minutes: dict[str, dict[int, Minute]] = defaultdict(dict)
        self._differed: dict[str, CallFact] = {}
        self._verdicts: dict[str, Verdict] = {}
        self.n_calls = 0
        """Calls but for audits."""

    def __len__(self) -> int:
        """Calls that were counted, audits too."""
        return self._n_counted

    def add(self, call: Call) -> bool:
        """Counts a call; False where it was counted before."""
        with self._lock:
            known = self._facts[call.tenant]
            if call.id in known:
                return False
            spent = self._spend(call)
            fact = self._fact_of(call, spent)
            known[call.id] = fact
            self._n_counted += 1
            if len(known) > FACTS_KEPT:
                del known[next(iter(known))]
            self._count(fact, spent)
            self._note_feedback(call, fact)
            is_audit = bool(fact.audit_of) and fact.agrees is False and fact.reason == "audit"
            if is_audit or call.shadow_response is not None:
                self._differed[call.id] = fact
            return True

    def _fact_of(self, call: Call, spent: CallSpend) -> CallFact:
        decision = call.decision
        one = self._words.setdefault  # the same few words stand in all of them
        return CallFact(
            id=call.id,
            at_s=call.timestamp or 0.0,
            tenant=one(call.tenant, call.tenant),
            agent=one(call.agent, call.agent),
            site=one(call.site, call.site),
            model=one(call.model, call.model),
            route=one(decision.route_id, decision.route_id) if decision is not None else "",
            reason=one(decision.reason, decision.reason) if decision is not None else "",
            status=call.status,
            ms=call.latency_ms,
            is_served=spent.is_served,
            audit_of=decision.audit_of if decision is not None else "",
            agrees=decision.shadow_agrees if decision is not None else None,
            saved_usd=spent.llm_usd - spent.specialist_usd if spent.is_served else 0.0,
        )

    def _count(self, fact: CallFact, spent: CallSpend) -> None:
        self.n_calls += not fact.audit_of
        day = self._sums[fact.tenant].setdefault(int(fact.at_s // DAY_S), {})
        for route in {"", fact.route}:
            day.setdefault(route, Served()).add(spent)
        if fact.audit_of:
            return
        minutes = self._minutes[fact.tenant]
        minute = minutes.setdefault(int(fact.at_s // MINUTE_S), Minute())
        minute.n_specialist += fact.is_served
        minute.n_llm += not fact.is_served
        minute.n_failed += fact.status >= 400
        if len(minutes) > 2 * MINUTES_KEPT:
            for old in sorted(minutes)[:-MINUTES_KEPT]:
                del minutes[old]

    def _note_feedback(self, call: Call, fact: CallFact) -> None:
        is_corrected = call.correction is not None and call.correction != call.response
        said = call.outcome.metric if call.outcome is not None else ""
        if call.shadow_response is not None:
            if said in SAID:
                self._verdicts[call.id] = cast(Verdict, said)
            elif is_corrected:
                self._verdicts[call.id] = "llm_wrong"
        elif fact.audit_of and is_corrected:
            self._verdicts[call.id] = "llm_wrong"
        elif fact.audit_of and said == BOTH_FINE:
            self._verdicts.setdefault(call.id, "both_fine")
        elif fact.is_served and is_corrected:
            self._verdicts.setdefault(f"{call.id}-audit", "specialist_wrong")

    def note_verdict(self, audit_id: str, verdict: Verdict) -> None:
        """Notes what a person has said just now."""
        with self._lock:
            self._verdicts[audit_id] = verdict

    def verdict(self, audit_id: str) -> Verdict:
        """The verdict of a person on an audit; "" where there is none."""
        return self._verdicts.get(audit_id, "")

    def fact(self, call_id: str) -> CallFact | None:
        """The facts of a call; None where it is not known here."""
        return next((facts[call_id] for facts in self._facts.values() if call_id in facts), None)

    def sums(self, since_day: int, tenant: str = "") -> dict[str, Served]:
        """Sums by route ("": all) of the days from `since_day` (days since 1970, UTC) on, of one tenant ("": of
        all)."""
        out: dict[str, Served] = defaultdict(Served)
        with self._lock:
            for whose, days in self._sums.items():
                for day, by_route in days.items() if tenant in ("", whose) else ():
                    for route, served in by_route.items() if day >= since_day else ():
                        out[route].merge(served)
        return out

    def per_minute(self, now_s: float, n_minutes: int, tenant: str = "") -> list[Minute]:
        """The last `n_minutes`, oldest first; the last one is the minute that is going on."""
        last = int(now_s // MINUTE_S)
        out = [Minute() for _ in range(n_minutes)]
        with self._lock:
            for whose, minutes in self._minutes.items():
                if tenant not in ("", whose):
                    continue
                for i in range(n_minutes):
                    found = minutes.get(last - n_minutes + 1 + i)
                    if found is not None:
                        out[i].n_specialist += found.n_specialist
                        out[i].n_llm += found.n_llm
                        out[i].n_failed += found.n_failed
        return out

    def newest(self, tenant: str = "") -> Iterator[CallFact]:
        """The newest calls of a tenant ("": of all), newest first; audits are left out."""
        with self._lock:
            of_each = [list(facts.values()) for whose, facts in self._facts.items() if tenant in ("", whose)]
        merged = merge(*map(reversed, of_each), key=lambda fact: -fact.at_s)
        return (fact for fact in merged if not fact.audit_of)

    def differed(self, tenant: str = "") -> list[CallFact]:
        """Audits and comparisons in shadow whose answers differ, newest first."""
        with self._lock:
            found = [f for f in self._differed.values() if tenant in ("", f.tenant)]
        return found[::-1]
