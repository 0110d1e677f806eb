"""The loop, on a store of made calls, a clock moved by hand, and a run that is only counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Certificate, Contract, Decision, Outcome, Route, RouteFile, encode
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import RunState
from deputize.routes_file import read_routes, update_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.testing import ManualClock, call
from deputize.watcher import CycleResult, Watcher, watching


def route(id: str) -> Route:
    certificate = Certificate(
        id=f"c-{id}",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=100,
        threshold=0.9,
        share_served=1.0,
        p_value=0.01,
        claim="as said",
    )
    return Route(
        id=id,
        task_id=f"t-{id}",
        task_name=f"task {id}",
        keys=[id],
        contract=Contract(kind="label", labels=["a"]),
        specialist="runs/x",
        threshold=0.9,
        certificate=certificate,
        state="live",
    )


class CountedHome:
    """A home whose runs are made by counting."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock()
        self.n_made = self.n_runs = 0
        self.error: Exception | None = None
        KeyRing.open(folder)
        file = RouteFile(run_id="0001", routes=[route("good"), route("bad")])
        write_routes(folder / "routes.json", file, Home(folder).routes_seal)

    def calls(self, n: int, **fields: Any) -> None:
        self.add([fields] * n)

    def add(self, rows: list[dict[str, Any]]) -> None:
        made = []
        for fields in rows:
            self.n_made += 1
            self.clock.advance(1)
            made.append(call(f"c{self.n_made}", timestamp=self.clock(), **fields))
        store = Home(self.folder).open_store()
        store.append(made)
        store.close()

    def audits(self, id: str, n: int, every: int) -> None:
        """Served calls of a route; every so many-th differs from the LLM."""
        given: dict[str, Any] = {"served_by": "slm", "route_id": id, "specialist": "runs/x"}
        self.add([{"decision": Decision(shadow_agrees=(i + 1) % every != 0, **given)} for i in range(n)])

    def convert(self) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        self.n_runs += 1
        self.run_done(f"{self.n_runs:04d}-x")
        return {"run_id": f"{self.n_runs:04d}-x"}

    def run_done(self, run_id: str, finished: bool = True) -> None:
        state = RunState(
            run_id=run_id,
            settings=Convert().model_dump(mode="json"),
            n_calls=self.n_made,
            calls_digest="",
            finished=finished,
        )
        (self.folder / "runs" / run_id).mkdir(parents=True, exist_ok=True)
        (self.folder / "runs" / run_id / "run.json").write_bytes(encode(state))

    def watcher(self, min_new: int = 10) -> Watcher:
        return Watcher(Home(self.folder), min_new=min_new, convert=self.convert, clock=self.clock)

    def states(self) -> dict[str, str]:
        return {r.id: r.state for r in read_routes(self.folder / "routes.json").routes}


@pytest.fixture
def home(tmp_path: Path) -> CountedHome:
    return CountedHome(tmp_path)


def test_converts_when_enough_is_new_and_not_before(home: CountedHome) -> None:
    watcher = home.watcher()
    home.calls(9)
    assert watcher.run_cycle().action == "wait"
    home.calls(5, decision=Decision(served_by="slm", route_id="good"))
    assert watcher.run_cycle().n_new == 9
    home.calls(1)
    result = watcher.run_cycle()
    assert (result.action, result.n_new, result.n_calls, result.run_id) == ("convert", 10, 15, "0001-x")
    assert watcher.run_cycle().action == "wait"
    home.calls(10)
    assert watcher.run_cycle().run_id == "0002-x" and home.n_runs == 2


def test_a_bad_route_is_rolled_back_once_with_an_entry_in_the_audit_log(home: CountedHome) -> None:
    home.audits("good", 80, 40)
    home.audits("bad", 80, 3)
    watcher = home.watcher()
    result = watcher.run_cycle()
    assert (
        result.action == "wait" and len(result.rolled_back) == 1 and "bad (task bad)" in result.rolled_back[0]
    )
    assert home.states() == {"good": "live", "bad": "rolled_back"}
    assert watcher.run_cycle().rolled_back == []
    entries = [
        e for e in AuditLog(home.folder, KeyRing.open(home.folder)).entries() if e.action == "route.rollback"
    ]
    assert [(e.subject, e.detail["certificate"]) for e in entries] == [("bad", "c-bad")]
    assert float(entries[0].detail["e_value"]) > 1


@pytest.mark.parametrize(("changed", "state"), [("specialist", "live"), ("certificate", "rolled_back")])
def test_only_the_specialist_that_the_evidence_is_about_is_rolled_back(
    home: CountedHome, changed: str, state: str
) -> None:
    """Evidence survives a new certificate of the same specialist."""
    home.audits("bad", 80, 3)

    def change(one: Route) -> Route:
        if changed == "specialist":
            return msgspec.structs.replace(one, specialist="runs/y")
        assert one.certificate is not None
        return msgspec.structs.replace(one, certificate=msgspec.structs.replace(one.certificate, id="c-new"))

    update_routes(
        home.folder / "routes.json",
        lambda file: RouteFile(run_id="2", routes=[change(r) for r in file.routes[1:]]),
        Home(home.folder).routes_seal,
    )
    assert len(home.watcher().run_cycle().rolled_back) == (state == "rolled_back")
    assert home.states() == {"bad": state}


def test_an_alarm_with_something_new_leads_to_one_run(home: CountedHome) -> None:
    home.add([{"episode": f"a{i}", "outcome": Outcome(success=True)} for i in range(60)])
    home.run_done("0001-old")
    served = Decision(served_by="slm", route_id="good", specialist="runs/x")
    home.add([{"episode": f"s{i}", "outcome": Outcome(success=False), "decision": served} for i in range(60)])
    home.n_runs = 1
    watcher = home.watcher()
    assert watcher.run_cycle().action == "wait"  # nothing to learn from yet
    home.calls(1)
    result = watcher.run_cycle()
    assert result.run_id == "0002-x" and result.reason.startswith("alarm: good")
    home.calls(1)
    # a new watch knows it too
    assert watcher.run_cycle().action == "wait" == home.watcher().run_cycle().action
    assert home.states()["good"] == "live"


def test_a_run_that_fails_is_told_and_not_tried_at_every_look(home: CountedHome) -> None:
    home.calls(10)
    home.error = BadInput("There is nothing to learn from.")
    watcher = home.watcher()
    assert watcher.run_cycle().failed == "There is nothing to learn from."
    home.calls(9)
    assert watcher.run_cycle().action == "wait"
    home.error = None
    home.calls(1)
    assert watcher.run_cycle().run_id == "0001-x"
    home.calls(10)
    home.error = UsageError("Another run is at work.")
    assert watcher.run_cycle().failed
    home.error = None
    assert watcher.run_cycle().run_id == "0002-x"
    home.calls(10)
    home.error = BadInput("no")
    with pytest.raises(BadInput):
        watcher.run_single_cycle()


def test_a_stopped_run_goes_on(home: CountedHome) -> None:
    home.calls(3)
    home.run_done("0001-x", finished=False)
    assert home.watcher().run_cycle().reason == "run 0001-x was stopped and goes on"


def test_the_loop_ends_with_ctrl_c_and_does_not_repeat_itself(home: CountedHome) -> None:
    watcher = home.watcher()
    told: list[CycleResult] = []
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        home.clock.advance(seconds)
        if len(naps) == 3:
            home.calls(10)
        if len(naps) == 6:
            raise KeyboardInterrupt

    watching(lambda: [watcher.run_cycle()], every_s=30, sleep=sleep, tell=told.append)
    assert naps == [30] * 6
    assert [(x.action, x.n_new) for x in told] == [("wait", 0), ("convert", 10), ("wait", 0)]
    assert all(isinstance(x, CycleResult) for x in told) and told[1].at > told[0].at


def test_one_process_converts_at_a_time(home: CountedHome) -> None:
    with Home(home.folder).exclusive("run"), pytest.raises(UsageError, match="Another run is at work"):
        convert(Home(home.folder), Convert())
    with Home(home.folder) as opened, pytest.raises(BadInput, match="nothing to learn from"):
        convert(opened, Convert())


def test_a_certificate_that_must_be_renewed_is_named_and_said_once(home: CountedHome) -> None:
    (good, *_) = read_routes(home.folder / "routes.json").routes
    assert good.certificate is not None
    home.calls(1)
    dated = msgspec.structs.replace(good.certificate, created_s=home.clock(), renew_after_calls=2)
    update_routes(
        home.folder / "routes.json",
        lambda file: msgspec.structs.replace(file, routes=[msgspec.structs.replace(good, certificate=dated)]),
        Home(home.folder).routes_seal,
    )
    watcher = home.watcher(min_new=100)
    home.calls(2, decision=Decision(route_id=good.id))
    assert watcher.run_cycle().to_renew == []
    home.calls(1, decision=Decision(route_id=good.id))
    said: list[CycleResult] = []

    def stop_at_third(seconds: float, _n: list[int] = [0]) -> None:  # noqa: B006
        _n[0] += 1
        if _n[0] == 3:
            raise KeyboardInterrupt

    watching(lambda: [watcher.run_cycle()], every_s=1, sleep=stop_at_third, tell=said.append)
    (told,) = said
    assert told.to_renew == [
        f"{good.id} ({good.task_name}): its certificate was made 3 calls ago and held for 2"
    ]
