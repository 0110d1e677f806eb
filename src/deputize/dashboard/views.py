"""What each page shows, for one tenant or for all: from the index, the route file, the runs and the store."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

from msgspec import structs

from deputize.core.certificate_age import DAY_S
from deputize.core.errors import BadInput, DeputizeError
from deputize.core.records import Call, Route, RouteFile
from deputize.dashboard.alarms import Alarm, alarms_of
from deputize.dashboard.call_index import CallFact, CallIndex
from deputize.dashboard.call_reader import CallReader
from deputize.dashboard.masked_texts import MaskedPair, MaskedTexts
from deputize.dashboard.task_examples import ShownExample, TaskExamples
from deputize.gateway.evidence_file import EvidenceKey, read_evidence
from deputize.home import Home
from deputize.operations.route_rows import (
    explanation,
    route_history,
    routes_of,
    unwatched_routes,
    version_row,
)
from deputize.operations.run_rows import difference, report_document, run_rows
from deputize.pipeline.readiness import Served
from deputize.stages.refine.route_evidence import RouteEvidence

CHART_MINUTES = 60
CALLS_SHOWN = 8
CALLS_ON_PAGE = 100
AUDITS_ON_PAGE = 100


class NotThere(BadInput):
    """There is nothing at this address."""

    http_status, code = 404, "not_there"


class Views:
    """The facts of every page. Used by one thread."""

    def __init__(self, home: Home, reader: CallReader) -> None:
        self._home, self._reader = home, reader
        self.texts, self.examples = MaskedTexts(home), TaskExamples(home)

    def close(self) -> None:
        """Forgets all texts."""
        self.texts.close()
        self.examples.close()

    @property
    def index(self) -> CallIndex:
        """The facts of the calls, as they are now."""
        return self._reader.index

    def reading(self) -> dict[str, Any]:
        """How far the stored calls are read."""
        one = self._reader
        return {
            "is_ready": one.is_ready,
            "is_counted": one.counts is not None,
            "n_read": one.n_read,
            "as_of_s": one.as_of_s,
            "error": one.error,
            "home": str(self._home.path),
        }

    def now(self, tenant: str) -> dict[str, Any]:
        """Calls a minute, savings, routes, alarms, readiness, the last calls."""
        now_s, index = self._home.now(), self.index
        minutes = index.per_minute(now_s, CHART_MINUTES, tenant)
        today = index.sums(int(now_s // DAY_S), tenant)
        month = index.sums(first_day_of_month(now_s), tenant)
        routes, alarms = self._routes(tenant, month, now_s)
        counts = self._reader.counts
        return {
            "minutes": minutes,
            "today": today.get("", Served()),
            "month": month.get("", Served()),
            "month_by_route": month,
            "routes": routes,
            "alarms": alarms,
            "sites": [s for s in counts.sites if tenant in ("", s.tenant)] if counts is not None else [],
            "calls": list(islice(index.newest(tenant), CALLS_SHOWN)),
            "n_to_judge": sum(not index.verdict(f.id) for f in index.differed(tenant)),
        }

    def _routes(
        self, tenant: str, month: dict[str, Served], now_s: float
    ) -> tuple[list[dict[str, Any]], list[Alarm]]:
        try:  # the rest of the page stands, whatever is damaged
            file, life = routes_of(self._home, tenant), self._home.route_settings()
        except DeputizeError as error:
            return [], [Alarm(self.said(error, tenant))]
        everything = [*file.routes, *file.challengers]
        known, why_none = self._evidence(tenant) if everything else ({}, "")
        rows = [{**version_row(r, file, known, life), "steps": self.steps(r)} for r in everything]
        unwatched = unwatched_routes(self._home, everything, known) if everything else []
        minutes = self.index.per_minute(now_s, 60, tenant)
        found = alarms_of(everything, unwatched, month, minutes, now_s)
        return rows, [Alarm(why_none), *found] if why_none else found

    def said(self, error: DeputizeError, tenant: str) -> str:
        """An error in words; where the home lies is not told to people of one tenant."""
        path = str(self._home.path)
        return str(error).replace(f"{path}/", "").replace(path, "the home") if tenant else str(error)

    def _evidence(self, tenant: str) -> tuple[dict[EvidenceKey, RouteEvidence], str]:
        """The evidence of routes, and why there is none: a route can be closed all the same."""
        try:
            return read_evidence(self._home.path, self._home.evidence_seal), ""
        except DeputizeError as error:
            return {}, self.said(error, tenant)

    def steps(self, one: Route) -> list[tuple[str, str]]:
        """The states of a route in order, each "past", "now" or "": from shadow over the canary shares to live."""
        shares = [*self._home.route_settings().steps, 1.0]
        names = ["shadow", *(f"canary {100 * s:g} %" for s in shares[:-1]), "live"]
        if one.state in ("closed", "rolled_back"):
            return [(one.state.replace("_", " "), "now"), *((name, "") for name in names)]
        at = 0 if one.state == "shadow" else sum(s < one.share for s in shares) + 1
        at = (
            len(names) - 1
            if one.state == "live"
            else min(at, len(names) - 2)
            if one.state == "canary"
            else at
        )
        return [(name, "past" if i < at else "now" if i == at else "") for i, name in enumerate(names)]

    def route_file(self, tenant: str) -> RouteFile:
        """The route file, as somebody of a tenant may see it."""
        return routes_of(self._home, tenant)

    def route(self, route_id: str, tenant: str, *, with_history: bool) -> dict[str, Any]:
        """One route with its versions, evidence and history. Raises NotThere."""
        file = routes_of(self._home, tenant)
        one = find_route(file, route_id)
        versions = [r for r in (*file.routes, *file.challengers, *file.previous) if r.id == route_id]
        (known, why_none), life = self._evidence(tenant), self._home.route_settings()
        rows = [version_row(r, file, known, life) for r in versions]
        notes = [why_none] if why_none else unwatched_routes(self._home, versions, known)
        served = self.index.sums(first_day_of_month(self._home.now()), tenant).get(route_id, Served())
        return {
            "route": one,
            "versions": rows,
            "steps": self.steps(one),
            "notes": notes,
            "history": route_history(self._home, route_id) if with_history else None,
            "month": served,
            "has_challenger": any(r.id == route_id for r in file.challengers),
            "has_previous": any(r.id == route_id for r in file.previous),
            "calls": list(islice((f for f in self.index.newest(tenant) if f.route == route_id), CALLS_SHOWN)),
        }

    def calls(self, tenant: str, wanted: dict[str, str]) -> dict[str, Any]:
        """The newest calls, those of a route, site or model only where one is named."""
        found = (
            f
            for f in self.index.newest(tenant)
            if all(not value or getattr(f, name) == value for name, value in wanted.items())
        )
        return {"calls": list(islice(found, CALLS_ON_PAGE)), "wanted": wanted, "most": CALLS_ON_PAGE}

    def call(self, call_id: str, tenant: str) -> dict[str, Any]:
        """One call as recorded, without its texts, and why it was answered so. Raises NotThere."""
        call, audit = self._stored(call_id, tenant)
        _, lines = explanation(self._home, call, audit)
        return {"call": call, "lines": lines, "fact": self.index.fact(call_id), "audit": audit}

    def _stored(self, call_id: str, tenant: str) -> tuple[Call, Call | None]:
        call, audit = self._home.store.get([call_id, f"{call_id}-audit"])
        if call is None or tenant not in ("", call.tenant):
            raise NotThere("There is no such call here, or it cannot be read any more.")
        return call, audit

    def tasks(self, tenant: str) -> dict[str, Any]:
        """The tasks of the newest run that has a report, largest first."""
        try:
            report = report_document(self._home, tenant=tenant)
        except BadInput as error:
            return {"report": None, "tasks": [], "why_none": self.said(error, tenant)}
        tasks = sorted(report["tasks"], key=lambda t: -t["n_calls"])
        return {"report": report, "tasks": tasks, "why_none": ""}

    def task(self, task_id: str, tenant: str) -> dict[str, Any]:
        """One task, by the newest run that has it in its report. Raises NotThere."""
        ids = [row["run_id"] for row in self.runs(tenant) if row["n_tasks"] is not None]
        reports = (report_document(self._home, id, tenant=tenant) for id in ids)
        both = ((report, task) for report in reports for task in report["tasks"] if task["id"] == task_id)
        report, found = next(both, (None, None))
        if report is None:
            raise NotThere("No run has such a task in its report.")
        routes = [r for r in routes_of(self._home, tenant).routes if r.task_id == task_id]
        return {"report": report, "task": found, "routes": routes}

    def task_examples(self, run_id: str, task_id: str, tenant: str) -> list[ShownExample] | None:
        """De-identified calls of a task; None: they are being read. Whoever asks notes it in the audit log first."""
        return self.examples.of(run_id, task_id, tenant)

    def runs(self, tenant: str) -> list[dict[str, Any]]:
        """Every run, newest first."""
        return run_rows(self._home, tenant)

    def runs_difference(self, first: str, second: str, tenant: str) -> dict[str, Any]:
        """The difference of two runs. Raises NotThere, BadInput."""
        known = {row["run_id"] for row in self.runs(tenant)}
        if not {first, second} <= known:
            raise NotThere("Choose two runs of the list.")
        reports = [report_document(self._home, run, tenant=tenant) for run in (first, second)]
        return difference(self._home, (reports[0], reports[1]))

    def report_page(self, run_id: str, tenant: str) -> str:
        """The report of a run as HTML. Raises NotThere."""
        known = {row["run_id"] for row in self.runs(tenant)}
        page = self._home.runs_path / run_id / "report.html"
        if run_id not in known or not page.is_file():
            raise NotThere("There is no report of such a run.")
        return page.read_text("utf-8")

    def audits(self, tenant: str) -> dict[str, Any]:
        """Audits whose answers differ, newest first, with what people said of them."""
        index = self.index
        differed = index.differed(tenant)
        said = [index.verdict(f.id) for f in differed]
        return {
            "audits": list(zip(differed, said, strict=True))[:AUDITS_ON_PAGE],
            "n_differed": len(differed),
            "said": {name: said.count(name) for name in ("llm_wrong", "specialist_wrong", "both_fine", "")},
        }

    def audit(self, audit_id: str, tenant: str) -> tuple[CallFact, Call, Call]:
        """An audit, or a comparison in shadow, whose answers differ: its facts, the call with the specialist's answer,
        and with the LLM's. Raises NotThere."""
        fact = next((f for f in self.index.differed(tenant) if f.id == audit_id), None)
        if fact is None:
            raise NotThere("There is no such audit, or its answers agree.")
        served, audit = self._home.store.get([fact.asked, audit_id])
        if audit is not None and audit.shadow_response is not None:
            served = structs.replace(audit, response=audit.shadow_response)
        if served is None or audit is None or {served.tenant, audit.tenant} != {fact.tenant}:
            raise NotThere("The calls of this audit cannot be read any more.")
        return fact, served, audit

    def pair(self, served: Call, audit: Call) -> MaskedPair | str | None:
        """Both answers to a call with placeholders, or why not; None: they are being masked."""
        return self.texts.pair(served, audit)


def find_route(file: RouteFile, route_id: str, *, challenger: bool = False) -> Route:
    """A route of a file by its id. Raises NotThere."""
    found = next((r for r in (file.challengers if challenger else file.routes) if r.id == route_id), None)
    if found is None:
        raise NotThere("There is no such route.")
    return found


def first_day_of_month(now_s: float) -> int:
    """The first day of the month that a time is in, in days since 1970, UTC."""
    return int(now_s // DAY_S) - time.gmtime(now_s).tm_mday + 1
