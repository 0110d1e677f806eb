"""Rollback in the gateway: the evidence that workers share, and what a killed process leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.stubs import live_route, publish_route

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import Route, RouteState
from deputize.gateway import rollback
from deputize.gateway.evidence_file import EVIDENCE_FILE, forget_evidence, read_evidence
from deputize.gateway.metrics import Metrics
from deputize.gateway.rollback import DueAudit, RouteMonitor, roll_back_routes
from deputize.gateway.route_watcher import RouteWatcher
from deputize.home import Home
from deputize.routes_file import read_routes, update_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing

KEY = ("r", "s")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish_route(tmp_path / "routes.json")
    return tmp_path


@pytest.fixture
def audit(home: Path) -> AuditLog:
    return AuditLog(home, KeyRing.open(home))


def monitor(home: Path, audit: Any, metrics: Metrics | None = None, **changed: Any) -> RouteMonitor:
    return RouteMonitor(
        home,
        audit,
        metrics or Metrics(),
        **{"audit_share": 0.02, "seal": None, "evidence_seal": None, **changed},
    )


def state(home: Path) -> RouteState:
    return read_routes(home / "routes.json").routes[0].state


def counted(home: Path) -> str:
    """Results of the audits that count, without the ends of episodes."""
    state = read_evidence(home, None)[KEY].state
    return state.results.replace("|", "") if state is not None else ""


async def observe(one: RouteMonitor, results: str, route: Route | None = None) -> None:
    for result in results:
        given = None if result == "x" else result
        await one.observe(DueAudit(route=route or live_route(), result=given))  # type: ignore[arg-type]


async def test_a_bad_route_is_closed_with_its_evidence(
    home: Path, audit: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[RouteState] = []
    one = monitor(home, audit, on_change=lambda: closed.append(state(home)))
    await observe(one, "." * 50)
    assert state(home) == "live" and counted(home) == "." * 50
    await observe(one, "s" * 12)
    assert state(home) == "rolled_back" == closed[0] and len(closed) == 1
    (entry,) = [e for e in audit.entries() if e.action == "route.rollback"]
    assert (entry.subject, entry.actor, entry.detail["allowed"]) == ("r", "gateway", "0.0222")
    assert int(entry.detail["audits"]) == 50 + int(entry.detail["differed"])
    assert float(entry.detail["e_value"]) >= 20_000
    assert "route r (t) is rolled back" in caplog.text
    assert "rain" not in (home / EVIDENCE_FILE).read_text()


async def test_a_canary_is_rolled_back_whole(home: Path, audit: AuditLog) -> None:
    canary = live_route(state="canary", share=0.1)
    update_routes(home / "routes.json", lambda f: msgspec.structs.replace(f, routes=[canary]))
    await observe(monitor(home, audit), "s" * 12, canary)
    (route,) = read_routes(home / "routes.json").routes
    assert (route.state, route.share) == ("rolled_back", 1.0), "promoted again, it is no canary of a tenth"


async def test_workers_share_the_evidence(home: Path, audit: AuditLog) -> None:
    """Two workers of two halves each, at the same time: every audit counts once, the route is closed once."""
    workers = [monitor(home, audit), monitor(home, audit)]
    await asyncio.gather(*(observe(w, "..s..") for w in workers for _ in range(10)))
    evidence = read_evidence(home, None)[KEY]
    assert len(counted(home)) == evidence.n_due == 100 and evidence.n_specialist_differed == 20
    assert state(home) == "rolled_back"
    assert len([e for e in audit.entries() if e.action == "route.rollback"]) == 1


PROCESS = """
import asyncio, sys
from pathlib import Path
from tests.unit.gateway.stubs import live_route
from deputize.gateway.metrics import Metrics
from deputize.gateway.rollback import DueAudit, RouteMonitor
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing

async def main(home, results):
    monitor = RouteMonitor(home, AuditLog(home, KeyRing.open(home)), Metrics(), audit_share=0.02, seal=None, evidence_seal=None)
    sys.stdin.readline()
    for result in results:
        await monitor.observe(DueAudit(route=live_route(), result=result))
        print("counted", flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""
"""A gateway that begins to count audits when it is told to, and says of each that it is counted."""


def process(home: Path, results: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(home), results],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )


async def test_processes_share_the_evidence_and_a_rollback_reaches_the_other(
    home: Path, audit: AuditLog
) -> None:
    watcher = RouteWatcher(home / "routes.json", Metrics(), poll_s=0.01)
    watcher.load()
    others = [process(home, ".." * 40) for _ in range(2)]
    for one in others:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    for one in others:
        said, _ = one.communicate(timeout=60)
        assert (said.count(b"counted"), one.returncode) == (80, 0)
    evidence = read_evidence(home, None)[KEY]
    assert len(counted(home)) == evidence.n_due == 160
    assert not watcher.load(), "the routes are as they were"
    worse = process(home, "s" * 40)
    worse.communicate(b"\n", timeout=60)
    assert watcher.load() and watcher.table is not None
    assert watcher.table.routes[0].state == "rolled_back" == state(home)  # type: ignore[attr-defined]
    assert len([e for e in audit.entries() if e.action == "route.rollback"]) == 1
    assert read_evidence(home, None)[KEY].n_specialist_differed == 40


@pytest.mark.parametrize("result", [".", "s"])
async def test_a_process_that_is_killed_has_lost_at_most_what_it_was_counting(
    home: Path, audit: AuditLog, result: str
) -> None:
    n_counted = 0
    for n_before in (3, 7, 2):
        doomed = process(home, result * 5_000)
        assert doomed.stdin is not None and doomed.stdout is not None
        doomed.stdin.write(b"\n")
        doomed.stdin.flush()
        for _ in range(n_before):
            assert doomed.stdout.readline() == b"counted\n"
        os.kill(doomed.pid, signal.SIGKILL)
        n_said = n_before + doomed.stdout.read().count(b"counted")
        doomed.wait(timeout=60)
        doomed.stdin.close()
        doomed.stdout.close()
        evidence = read_evidence(home, None)[KEY]
        n_new = evidence.n_due - n_counted
        assert n_said <= n_new <= n_said + 1, "what was said to be counted is, once"
        assert len(counted(home)) == evidence.n_due
        n_counted += n_new
    decided = read_evidence(home, None)[KEY].alarm
    await monitor(home, audit).check_routes()
    assert state(home) == ("rolled_back" if decided else "live") and decided == (result == "s")
    await observe(monitor(home, audit), ".")
    assert read_evidence(home, None)[KEY].n_due == n_counted + 1


async def test_audits_that_come_while_a_file_is_written_are_written_together(
    home: Path, audit: AuditLog
) -> None:
    one = monitor(home, audit)
    n_writes = 0
    count: Callable[..., Any] = one._count

    def counting(batch: Any) -> Any:
        nonlocal n_writes
        n_writes += 1
        return count(batch)

    one._count = counting  # type: ignore[method-assign]
    await asyncio.gather(*(observe(one, ".") for _ in range(200)))
    assert len(counted(home)) == 200 and n_writes <= 3


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", ["audit log", "route file"])
async def test_a_process_that_is_killed_in_between_loses_nothing(
    home: Path, audit: AuditLog, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence is on the disk, the route is not closed yet: the next start does it, or the next audit."""

    def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if at == "audit log":
            patch.setattr(audit, "append", killed)
        else:
            patch.setattr("deputize.gateway.rollback.update_routes", killed)
        with pytest.raises(Killed):
            await observe(monitor(home, audit), "s" * 12)
    assert state(home) == "live" and read_evidence(home, None)[KEY].alarm
    before = read_evidence(home, None)
    if at == "audit log":
        await monitor(home, audit).check_routes()
        assert read_evidence(home, None) == before
    else:
        await observe(monitor(home, audit), ".")
    assert state(home) == "rolled_back"
    assert [e for e in audit.entries() if e.action == "route.rollback"]


async def test_a_restart_keeps_the_evidence(home: Path, audit: AuditLog) -> None:
    n = 0
    while state(home) == "live":
        await observe(monitor(home, audit), "s")
        n += 1
    assert 3 < n < 12
    again = monitor(home, audit)
    await observe(again, "..")
    assert state(home) == "rolled_back" and len(counted(home)) == n + 2


async def test_what_cannot_be_written_is_written_with_the_next_audit(
    home: Path, audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = monitor(home, audit)

    def full(*_: Any, **__: Any) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("deputize.gateway.evidence_file.write_atomic", full)
        await observe(one, "s.s")
    assert read_evidence(home, None) == {}
    await observe(one, ".")
    assert counted(home) == "s.s."


async def test_another_specialist_and_a_route_that_serves_nothing_stay(home: Path, audit: AuditLog) -> None:
    await observe(monitor(home, audit), "s" * 30, live_route(specialist="s2"))
    assert state(home) == "live"
    update_routes(
        home / "routes.json",
        lambda f: msgspec.structs.replace(f, routes=[msgspec.structs.replace(f.routes[0], state="closed")]),
    )
    assert roll_back_routes(home, audit, {KEY: {}}, seal=None) == [] and state(home) == "closed"


async def test_a_route_promoted_again_begins_again(home: Path, audit: AuditLog) -> None:
    one = monitor(home, audit)
    await observe(one, "s" * 12)
    assert state(home) == "rolled_back"
    forget_evidence(home, live_route(), None, at_s=7.0)
    publish_route(home / "routes.json")
    await one.check_routes()
    await observe(one, "..s")
    assert state(home) == "live"
    evidence = read_evidence(home, None)[KEY]
    assert (counted(home), evidence.since_s, evidence.alarm) == ("..s", 7.0, False)


async def test_missed_audits_raise_an_alarm(
    home: Path, audit: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    one = monitor(home, audit, metrics)
    await observe(one, "." * 37 + "xx")
    assert metrics.value("deputize_route_unwatched", route="r") == 0 and not caplog.records
    await observe(one, "xx")
    assert metrics.value("deputize_route_unwatched", route="r") == 1
    (line,) = caplog.records
    assert line.getMessage() == "r (t) is not watched: 3 of its last 40 due audits failed or were skipped"
    await observe(one, "." * 40)
    assert metrics.value("deputize_route_unwatched", route="r") == 0


async def test_audits_that_are_off_are_said_at_the_start(
    home: Path, audit: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    await monitor(home, audit, audit_share=0.0).check_routes()
    assert "r (t) is not watched: audit_share is 0" in caplog.text


async def test_a_damaged_file_is_set_aside_in_the_gateway_and_named_elsewhere(
    home: Path, audit: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    (home / EVIDENCE_FILE).write_bytes(b"{")
    with pytest.raises(BadInput, match=r"audit_evidence\.json cannot be read"):
        read_evidence(home, None)
    await observe(monitor(home, audit), "s")
    assert counted(home) == "s" and "is kept as" in caplog.text
    assert (home / f"{EVIDENCE_FILE}.damaged").read_bytes() == b"{"
    assert set(json.loads((home / EVIDENCE_FILE).read_bytes())) == {"routes"}


@pytest.mark.parametrize("data", [None, b'{"routes":[]}'])
async def test_evidence_that_was_deleted_or_forged_begins_again_with_an_entry(
    tmp_path: Path, data: bytes | None
) -> None:
    opened, path = Home(tmp_path), tmp_path / EVIDENCE_FILE
    publish_route(tmp_path / "routes.json")
    one = monitor(tmp_path, opened.audit, evidence_seal=opened.evidence_seal)
    await observe(one, "s.")
    path.unlink() if data is None else path.write_bytes(data)
    restarted = Home(tmp_path)
    one = monitor(tmp_path, restarted.audit, evidence_seal=restarted.evidence_seal)
    await one.check_routes()
    await observe(one, "..")
    known = read_evidence(tmp_path, Home(tmp_path).evidence_seal)
    assert known[KEY].n_due == 2 and known[KEY].n_specialist_differed == 0
    assert sum(e.action == "denied" for e in restarted.audit.entries()) == 1
    assert (tmp_path / f"{EVIDENCE_FILE}.damaged").exists() is (data is not None)


async def test_evidence_of_specialists_that_no_route_has_is_forgotten(home: Path, audit: AuditLog) -> None:
    await observe(monitor(home, audit), "..")
    await observe(monitor(home, audit), "..", live_route(specialist="gone"))
    assert set(read_evidence(home, None)) == {KEY, ("r", "gone")}
    await monitor(home, audit).check_routes()
    assert set(read_evidence(home, None)) == {KEY} and counted(home) == ".."
    (home / "routes.json").unlink()
    await monitor(home, audit).check_routes()
    assert set(read_evidence(home, None)) == {KEY}, "a file that is not there says nothing"


async def test_no_specialist_answers_while_a_bad_route_cannot_be_closed(
    home: Path, audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "AGAIN_S", 0.05)
    one, lock = monitor(home, audit), home / "routes.json.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()  # the file can be read, and not be written
    await observe(one, "." * 20 + "s" * 14)
    assert state(home) == "live" and one.must_wait()
    await observe(one, "x", live_route(id="another"))
    assert one.must_wait(), "what happens to other routes is no reason to go on"
    lock.rmdir()
    async with asyncio.timeout(10):
        while one.must_wait():
            await asyncio.sleep(0.02)
    assert state(home) == "rolled_back", "no further audit was needed"
    one.stop()
