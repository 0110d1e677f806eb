"""The continuous loop: looks at a home, converts again when there is enough to learn from, rolls bad routes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from deputize.core.errors import BadInput, DeputizeError, UsageError
from deputize.core.records import DEFAULT_TENANT, Call, Record, RouteFile
from deputize.files import write_atomic
from deputize.gateway.evidence_file import read_evidence
from deputize.gateway.rollback import roll_back_routes
from deputize.home import Home
from deputize.pipeline.curation import learnable
from deputize.pipeline.earlier_routes import routes_of
from deputize.pipeline.run import RunState, calls_of, newest_state
from deputize.scoring.monitor import AUDITS_PER_FALSE_ROLLBACK
from deputize.stages.refine.certificate_renewal import to_renew
from deputize.stages.refine.decisions import LoopDecision, WatchedCall, decide, watched_call
from deputize.stages.refine.route_evidence import unwatched

RETENTION_EVERY_S = 3600.0


class CycleResult(Record):
    """The result of one cycle: the decision, its reason, and what was done."""

    at: float
    action: str
    """convert or wait."""
    reason: str
    n_calls: int
    n_new: int
    rolled_back: list[str] = msgspec.field(default_factory=list)
    unwatched: list[str] = msgspec.field(default_factory=list)
    """Serving routes whose audits show nothing, and why."""
    to_renew: list[str] = msgspec.field(default_factory=list)
    """Routes whose certificate must be renewed, and why."""
    run_id: str = ""
    """The run that was made."""
    failed: str = ""
    """Why it was not."""
    tenant: str = DEFAULT_TENANT
    """Whose calls and routes were taken into account; "*": those of all."""

    @property
    def idle(self) -> bool:
        return self.action == "wait" and not self.rolled_back


class AnsweredAlarms(Record):
    """HOME/watch.json: certificates whose alarm has led to a run."""

    certificates: dict[str, float] = msgspec.field(default_factory=dict)
    version: int = 1


class Watcher:
    """Looks at what a home has of one tenant, decides, acts."""

    def __init__(
        self,
        home: Home,
        *,
        min_new: int,
        tenant: str = DEFAULT_TENANT,
        audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
        audit_share: float | None = None,
        convert: Callable[[], dict[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            home: the home.
            min_new: new calls that are reason enough for a run.
            tenant: whose calls and routes; "*": those of all, which share specialists.
            audits_per_false_rollback: see `scoring.monitor.false_rollback_bound`.
            audit_share: share of served calls that the gateway audits; None: unknown.
            convert: makes a run.
            clock: Unix seconds.
        """
        self._home, self._min_new, self._tenant = home, min_new, tenant
        self._audits_per_false_rollback, self._audit_share = audits_per_false_rollback, audit_share
        self._convert, self._clock = convert, clock
        self._mark = (0, 0, "")
        """Calls in the store, generation of the routes and newest run, as the cycle under way found them."""
        self._last: tuple[tuple[int, int, str], CycleResult] | None = None
        self._retry_at = 0
        """After a run that failed: how many new calls there must be before another is tried."""

    def run_cycle(self) -> CycleResult:
        """One cycle of the loop: converts where there is reason to; a run that fails is reported, and tried again
        later."""
        result, decision = self._examine()
        if decision is not None and decision.convert:
            try:
                result = self._converted(result, decision)
            except DeputizeError as error:
                if not isinstance(error, UsageError):  # another process at work is over soon
                    self._retry_at = result.n_new + self._min_new
                result = msgspec.structs.replace(result, failed=str(error))
        return self._remembered(result, decision)

    def run_single_cycle(self) -> CycleResult:
        """The only cycle: as `run_cycle`, but the error of a run that fails is raised."""
        result, decision = self._examine()
        if decision is not None and decision.convert:
            result = self._converted(result, decision)
        return self._remembered(result, decision)

    def _examine(self) -> tuple[CycleResult, LoopDecision | None]:
        """The result so far and the decision; no decision where nothing has changed since an idle cycle. Bad routes go
        back."""
        file = routes_of(self._home.routes(), self._tenant)
        state = newest_state(self._home, self._tenant)
        with self._home.fresh() as home:  # opened again: what a crashed process left is read in
            # reading every call is expensive: not where nothing came since (feedback alone waits for the next call)
            self._mark = (home.store.count(), file.generation, state.run_id if state else "")
            if self._last is not None and self._last[0] == self._mark and self._last[1].idle:
                return msgspec.structs.replace(self._last[1], at=self._clock()), None
            calls, n_new = _read(calls_of(home, self._tenant), state)
        evidence = read_evidence(self._home.path, self._home.evidence_seal)
        decision = decide(
            calls,
            file.routes,
            n_new=n_new,
            min_new=max(self._min_new, self._retry_at),
            evidence=evidence,
            audits_per_false_rollback=self._audits_per_false_rollback,
            unfinished=state.run_id if state and not state.finished and not self._retry_at else "",
            answered=self._not_to_answer(file, n_new),
        )
        result = CycleResult(
            at=self._clock(),
            action="convert" if decision.convert else "wait",
            reason=decision.reason,
            n_calls=len(calls),
            n_new=n_new,
            rolled_back=self._roll_back(decision),
            unwatched=[
                why
                for r in file.routes
                if (why := unwatched(r, evidence.get((r.id, r.specialist)), audit_share=self._audit_share))
            ],
            to_renew=to_renew(calls, file.routes, self._clock()),
            tenant=self._tenant,
        )
        return result, decision

    def _converted(self, result: CycleResult, decision: LoopDecision) -> CycleResult:
        report = self._convert()
        self._retry_at = 0
        if decision.answers:
            self._answer(decision.answers)
        return msgspec.structs.replace(result, run_id=str(report.get("run_id", "")))

    def _remembered(self, result: CycleResult, decision: LoopDecision | None) -> CycleResult:
        if decision is not None:
            self._last = (self._mark, result)
        return result

    def _roll_back(self, decision: LoopDecision) -> list[str]:
        bad = {(h.route_id, h.specialist): h for h in decision.roll_back}
        if not bad:
            return []
        details = {
            key: {
                "specialist": h.specialist,
                "certificate": h.certificate_id,
                "audits": f"{h.n}",
                "differed": f"{h.n_bad}",
                "allowed": f"{h.allowed:.4f}",
                "e_value": f"{h.e_value:.4g}",
                "audits_per_false_rollback": f"{self._audits_per_false_rollback:g}",
            }
            for key, h in bad.items()
        }
        done = roll_back_routes(self._home.path, self._home.audit, details, seal=self._home.routes_seal)
        return [bad[(r.id, r.specialist)].sentence() for r in done]

    def _not_to_answer(self, file: RouteFile, n_new: int) -> frozenset[str]:
        """Certificates whose alarm is no reason for a run: it led to one, or a run has just failed."""
        known = frozenset(self._answered().certificates)
        if n_new < self._retry_at:
            known |= {r.certificate.id for r in file.routes if r.certificate is not None}
        return known

    def _answered(self) -> AnsweredAlarms:
        path = self._home.path / "watch.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=AnsweredAlarms)
        except FileNotFoundError:
            return AnsweredAlarms()
        except (OSError, msgspec.MsgspecError) as error:
            raise BadInput(
                f"{path} cannot be read ({error}); delete it to forget which alarms were answered."
            ) from error

    def _answer(self, certificates: tuple[str, ...]) -> None:
        known = self._answered().certificates | dict.fromkeys(certificates, self._clock())
        write_atomic(self._home.path / "watch.json", msgspec.json.encode(AnsweredAlarms(certificates=known)))


def watching(
    cycle: Callable[[], Iterable[CycleResult]],
    *,
    every_s: float,
    sleep: Callable[[float], None],
    tell: Callable[[CycleResult], None],
) -> None:
    """Looks at each tenant again and again until Ctrl-C; a cycle that changed nothing is not reported again."""
    last: dict[str, tuple[str, ...]] = {}
    try:
        while True:
            for result in cycle():
                said = (result.reason, result.failed, *result.unwatched, *result.to_renew)
                if said != last.get(result.tenant) or result.rolled_back or result.run_id:
                    tell(result)
                last[result.tenant] = said
            sleep(every_s)
    except KeyboardInterrupt:
        return


def hourly(
    retain: Callable[[], None], *, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Retention as the loop does it: at the first cycle, then every hour.

    An error at the first cycle, a bad setting for one, ends the watch; later it is reported, and the next cycle tries
    again.
    """
    done_at: float | None = None

    def now_and_then() -> None:
        nonlocal done_at
        if done_at is not None and clock() - done_at <= RETENTION_EVERY_S:
            return
        try:
            retain()
        except DeputizeError as error:
            if done_at is None:
                raise
            tell(f"What is over age could not be deleted, the next cycle tries again: {error}")
            return
        done_at = clock()

    return now_and_then


def _read(calls: Iterable[Call], state: RunState | None) -> tuple[list[WatchedCall], int]:
    """(the facts that the loop keeps of every call, by time; calls to learn from that the newest run did not have)."""
    seen: list[WatchedCall] = []
    wanted = set(state.agents) if state is not None else set()
    n_read = n_learnable = n_known = 0
    for call in calls:
        seen.append(watched_call(call))
        if wanted and call.agent not in wanted:
            continue
        n_read += 1
        if learnable(call):
            n_learnable += 1
            n_known += state is not None and n_read <= state.n_calls
    return seen, n_learnable - n_known
