"""watch: the loop that converts again when there is something to learn, and rolls bad routes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click
import msgspec

from deputize.cli.convert import run_options, settings
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.config import Convert
from deputize.core.errors import BadInput, DeputizeError, MissingExtra, UsageError
from deputize.core.records import Record, Route, RouteFile
from deputize.home import Home
from deputize.stages.refine.decisions import LoopDecision, RouteHealth, WatchedCall, decide, watched_call

RETENTION_EVERY_S = 3600.0


class LookResult(Record):
    """One look at the home: what was decided, why, and what was done."""

    at: float
    decided: str
    """convert or wait."""
    why: str
    n_calls: int
    n_new: int
    rolled_back: list[str] = msgspec.field(default_factory=list)
    may_grow: list[str] = msgspec.field(default_factory=list)
    """Canaries whose audits would carry a larger share."""
    run_id: str = ""
    """The run that was made."""
    failed: str = ""
    """Why it was not."""

    @property
    def idle(self) -> bool:
        return self.decided == "wait" and not self.rolled_back


class AnsweredAlarms(Record):
    """HOME/watch.json: certificates whose alarm has led to a run."""

    certificates: dict[str, float] = msgspec.field(default_factory=dict)
    version: int = 1


class Watcher:
    """Looks at a home, decides, acts."""

    def __init__(
        self,
        home: Home,
        *,
        min_new: int,
        delta: float,
        convert: Callable[[], dict[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home, self._min_new, self._delta = home, min_new, delta
        self._convert, self._clock = convert, clock
        self._last: tuple[tuple[int, int, str], LookResult] | None = None
        self._retry_at = 0
        """After a run that failed: how many new calls there must be before another is tried."""

    def look(self, *, once: bool = False) -> LookResult:
        """One look; converts where there is reason to.

        Args:
            once: let the error of a run out; otherwise it is told, and the loop goes on.
        """
        from deputize.pipeline.run import newest_state
        from deputize.routes_file import read_routes

        file = read_routes(self._home.routes_path)
        state = newest_state(self._home)
        with self._home.fresh() as home:  # opened anew: what a crashed process left is read in
            # reading every call is expensive: not where nothing came since (feedback alone waits for the next call)
            mark = (home.store.count(), file.generation, state.run_id if state else "")
            if self._last is not None and self._last[0] == mark and self._last[1].idle:
                return msgspec.structs.replace(self._last[1], at=self._clock())
            notes, n_new = _read(home.store, state)
        decided = decide(
            notes,
            file.routes,
            n_new=n_new,
            min_new=max(self._min_new, self._retry_at),
            delta=self._delta,
            unfinished=state.run_id if state and not state.finished and not self._retry_at else "",
            answered=self._not_to_answer(file, n_new),
        )
        looked = LookResult(
            at=self._clock(),
            decided="convert" if decided.convert else "wait",
            why=decided.why,
            n_calls=len(notes),
            n_new=n_new,
            rolled_back=self._roll_back(decided, file),
            may_grow=[h.sentence() for h in decided.promote],
        )
        if decided.convert:
            looked = self._run(looked, decided, once)
        self._last = (mark, looked)
        return looked

    def _run(self, looked: LookResult, decided: LoopDecision, once: bool) -> LookResult:
        try:
            report = self._convert()
        except DeputizeError as error:
            if once:
                raise
            if not isinstance(error, UsageError):  # another process at work is over soon
                self._retry_at = looked.n_new + self._min_new
            return msgspec.structs.replace(looked, failed=str(error))
        self._retry_at = 0
        if decided.answers:
            self._answer(decided.answers)
        return msgspec.structs.replace(looked, run_id=str(report.get("run_id", "")))

    def _roll_back(self, decided: LoopDecision, file: RouteFile) -> list[str]:
        from deputize.routes_file import update_routes

        serving = {r.id for r in file.routes if r.state in ("live", "canary")}
        bad = {h.route_id: h for h in decided.roll_back if h.route_id in serving}
        if not bad:
            return []
        done: list[RouteHealth] = []

        def back(now: RouteFile) -> RouteFile:
            done.clear()
            return msgspec.structs.replace(now, routes=[one(r) for r in now.routes])

        def one(route: Route) -> Route:
            health = bad.get(route.id)
            # only the specialist that the evidence is about, not one that was published in the meantime
            if health is None or route.certificate is None or route.certificate.id != health.certificate_id:
                return route
            done.append(health)
            return msgspec.structs.replace(route, state="rolled_back", share=1.0)

        update_routes(self._home.routes_path, back)
        for health in done:
            self._home.audit.append(
                "route.rollback",
                subject=health.route_id,
                detail={
                    "because": "its audited calls",
                    "state": "rolled_back",
                    "certificate": health.certificate_id,
                    "audits": f"{health.n}",
                    "differed": f"{health.n_bad}",
                    "allowed": f"{health.allowed:.4f}",
                    "e_value": f"{health.e_value:.4g}",
                    "delta": f"{self._delta:g}",
                },
            )
        return [h.sentence() for h in done]

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
        from deputize.files import write_atomic

        known = self._answered().certificates | dict.fromkeys(certificates, self._clock())
        write_atomic(self._home.path / "watch.json", msgspec.json.encode(AnsweredAlarms(certificates=known)))


def watching(
    look: Callable[[], LookResult],
    *,
    every_s: float,
    sleep: Callable[[float], None],
    tell: Callable[[LookResult], None],
) -> None:
    """Looks again and again until Ctrl-C; what has not changed is not told again."""
    last = ("", "")
    try:
        while True:
            looked = look()
            said = (looked.why, looked.failed)
            if said != last or looked.rolled_back or looked.run_id:
                tell(looked)
            last = said
            sleep(every_s)
    except KeyboardInterrupt:
        return


def hourly(
    retain: Callable[[], None], *, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """Retention as the loop does it: at the first look, then every hour.

    What goes wrong at the first look, a bad setting for one, ends the watch; later it is told, and the next look tries again.
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
            tell(f"What is over age could not be deleted, the next look tries again: {error}")
            return
        done_at = clock()

    return now_and_then


def _read(store: Any, state: Any) -> tuple[list[WatchedCall], int]:
    """(what the watch keeps of every call, by time; calls to learn from that the newest run did not have)."""
    from deputize.pipeline.curation import learnable

    notes: list[WatchedCall] = []
    wanted = set(state.agents) if state is not None else set()
    n_read = n_learnable = n_known = 0
    for call in store.calls():
        notes.append(watched_call(call))
        if wanted and call.agent not in wanted:
            continue
        n_read += 1
        if learnable(call):
            n_learnable += 1
            n_known += state is not None and n_read <= state.n_calls
    return notes, n_learnable - n_known


@click.command()
@click.option(
    "--every", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds between looks."
)
@click.option(
    "--min-new-calls",
    "min_new",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="New calls answered by the LLM that are reason enough to convert again.",
)
@click.option(
    "--alarm-delta",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Chance that a good route is rolled back.",
)
@click.option("--once", is_flag=True, help="Look once, act, and end.")
@run_options
@pass_terminal
def watch(
    terminal: Terminal, /, every: float, min_new: int, alarm_delta: float, once: bool, **given: Any
) -> None:
    """Convert again whenever there is enough new to learn from, and roll back routes whose audits go bad.

    Uses the settings of the newest run where no others are given. Ctrl-C ends it.
    """
    from deputize.pipeline.run import newest_state

    home = terminal.home

    def config() -> Convert:
        state = newest_state(home)
        return settings(home, given, state.settings if state is not None else None)

    def convert() -> dict[str, Any]:
        from deputize.pipeline.convert import convert as convert_home

        with terminal.progress() as progress, home.fresh() as opened:
            return convert_home(opened, config(), progress=progress)

    try:
        config()  # a bad setting or a missing model is told now, not in a week
    except MissingExtra:
        if not once:  # a single look may well find that there is nothing to do
            raise
    watcher = Watcher(home, min_new=min_new, delta=alarm_delta, convert=convert)
    keep_to_limits = hourly(lambda: _retain(terminal), tell=terminal.note)

    def look() -> LookResult:
        keep_to_limits()
        return watcher.look(once=once)

    acted: list[LookResult] = []

    def tell(looked: LookResult) -> None:
        acted.append(looked)
        if not terminal.json:
            _show(terminal, looked)

    with home.alone("watch"):
        if once:
            tell(look())
        else:
            terminal.note(f"Watching {home.path}: a look every {every:g} s. Ctrl-C ends it.")
            watching(look, every_s=every, sleep=time.sleep, tell=tell)
            terminal.note("Stopped watching.")
    terminal.result({"looks": acted}, lambda: None)


def _retain(terminal: Terminal) -> None:
    """Deletes what [retention] does not allow to be kept any longer."""
    from deputize.maintenance.retention import retain

    limits = terminal.home.retention()
    if not limits:
        return
    try:
        deleted, _ = retain(terminal.home, terminal.actor, limits, note=terminal.note)
    finally:
        terminal.home.close()
    for tenant, n_calls in deleted.items():
        if n_calls:
            terminal.note(
                f"{n_calls} calls of {tenant} are over the age set in [retention] and were deleted."
            )


def _show(terminal: Terminal, looked: LookResult) -> None:
    for line in looked.rolled_back:
        terminal.say(f"rolled back: {line}. Its calls go to the LLM until `deputize route promote`.")
    for line in looked.may_grow:
        terminal.say(f"may be promoted: {line}.")
    terminal.say(f"{looked.decided}: {looked.why}.")
    if looked.run_id:
        terminal.say(
            f"Run {looked.run_id} is done; `deputize report` shows it, `deputize route list` its routes."
        )
    if looked.failed:
        terminal.say(f"The run failed and is tried again when more calls have come: {looked.failed}")
