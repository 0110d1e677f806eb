"""Retention as `watch` does it: over-age calls leave store and runs for good, whatever stops it in between."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.cli.main import run
from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.errors import BadInput, DeputizeError, StoreError
from deputize.core.records import Call
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import latest_run, read_state
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key
from deputize.testing import ManualClock, call
from deputize.watcher import hourly

DAY = 86400.0
TENANTS = ("default", "shop", "lab")
LIMITS = '[retention]\ndefault = 30\nshop = 365\n"*" = 7\n'
KEPT = {"default-1", "shop-1", "shop-40", "lab-1"}
"""What of three tenants, calls of a day and of 40 days ago, the limits let stay (days, by twelve calls each)."""


def calls(now: float) -> list[Call]:
    return [
        call(
            f"{tenant}-{age}-{i}",
            tenant=tenant,
            timestamp=now - age * DAY,
            origin=f"o{i % 3}",
            episode=f"{tenant}-{age}-{i}",
            agent="desk",
            text=f"Is parcel {i} late?",
            reply="yes" if i % 2 else "no",
        )
        for tenant in TENANTS
        for age in (1, 40)
        for i in range(12)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with calls of three tenants and a curation run over them."""
    home = tmp_path_factory.mktemp("made")
    store = Home(home).open_store()
    store.append(calls(time.time()))
    store.close()
    with Home(home) as opened:
        convert(opened, Convert(share_across_tenants=True), stop_after="curate")
        state = read_state(opened, str(latest_run(opened)))
    # so that the watch has no run to go on with, only its retention
    done = msgspec.structs.replace(state, finished=True)
    (home / "runs" / state.run_id / "run.json").write_bytes(msgspec.json.encode(done))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", f"{made}/.", str(tmp_path / "home")], check=True)
    (tmp_path / "home" / "config.toml").write_text(LIMITS)
    return tmp_path / "home"


def watch(home: Path) -> int:
    return run(["--home", str(home), "watch", "--once", "--min-new-calls", "100000"])


def ids_in_store(home: Path) -> set[str]:
    store = Home(home).open_store()
    try:
        return {c.id.rpartition("-")[0] for c in store.calls()}
    finally:
        store.close()


def ids_in_run(home: Path) -> set[str]:
    (folder,) = (home / "runs").iterdir()
    keyring = KeyRing.open_existing(home)
    curated = Artifact(folder, "curate", Curated, run_key(folder, keyring)).read()
    return {e.call_id.rpartition("-")[0] for e in curated.examples}


def expired(home: Path) -> list[str]:
    log = AuditLog(home, KeyRing.open_existing(home))
    log.verify()
    return [e.tenant for e in log.entries() if e.action == "expire"]


def sealed_rows(home: Path) -> dict[str, bytes]:
    """The sealed bytes of every call, by its id without the number."""
    keyring = KeyRing.open_existing(home)
    of = {keyring.lookup("call", c.id): c.id for c in calls(0.0)}
    with sqlite3.connect(f"file:{home / 'store.db'}?mode=ro", uri=True) as db:
        return {of[id]: payload for id, payload in db.execute("SELECT id, payload FROM calls")}


def bytes_of(home: Path) -> bytes:
    return b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())


def test_watch_deletes_per_tenant_and_leaves_no_byte_behind(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sealed_rows(home)
    run_before = (home / "runs" / str(latest_run(Home(home))) / "curate.sealed").read_bytes()
    assert all(payload in bytes_of(home) for payload in rows.values())
    assert watch(home) == 0
    said = capsys.readouterr().err
    assert "12 calls of default" in said and "12 calls of lab" in said and "of shop" not in said
    assert ids_in_store(home) == KEPT == ids_in_run(home)
    assert expired(home) == ["default", "lab"]
    after = bytes_of(home)
    stays = {id: id.rpartition("-")[0] in KEPT for id in rows}
    assert {id: payload in after for id, payload in rows.items()} == stays, (
        "the sealed rows themselves are overwritten"
    )
    assert run_before not in after
    copy = home / "runs" / str(latest_run(Home(home))) / "curate.sealed"
    copy.write_bytes(run_before)  # a copy of the run from before opens with no key that is left
    with pytest.raises(DeputizeError):
        ids_in_run(home)


def test_a_second_look_deletes_nothing_and_notes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watch(home) == 0
    noted = expired(home)
    capsys.readouterr()
    assert watch(home) == 0
    assert "over the age" not in capsys.readouterr().err
    assert expired(home) == noted and ids_in_store(home) == KEPT


DIES = """
import os, sys
from pathlib import Path
from deputize.home import Home
from deputize.maintenance.retention import retain
from deputize.store.access.roles import owner
from deputize.store.sqlite import SqliteStore

class Dying(SqliteStore):
    def expire(self, **what):
        if sys.argv[2] == "before":
            os.kill(os.getpid(), 9)
        done = super().expire(**what)
        if sys.argv[2] == "after" or what["tenant"] == "lab":
            os.kill(os.getpid(), 9)
        return done

home = Home(Path(sys.argv[1]))
home.store = Dying(home.path / "store.db", home.keyring)
retain(home, owner(), home.retention(), note=print)
"""


@pytest.mark.parametrize("where", ["before", "after", "between"])
def test_a_kill_between_the_steps_loses_nothing_and_is_made_up_for(home: Path, where: str) -> None:
    """Killed before the first deletion, after it, or after the last and before the runs forget."""
    died = subprocess.run([sys.executable, "-c", DIES, str(home), where], capture_output=True, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert ids_in_store(home) >= KEPT, "the younger ones are all there"
    assert (
        ids_in_store(home)
        == {"before": {*KEPT, "default-40", "lab-40"}, "after": {*KEPT, "lab-40"}, "between": KEPT}[where]
    )
    assert ids_in_run(home) >= {"default-40", "lab-40"}, "the run has not forgotten yet"
    assert watch(home) == 0
    assert ids_in_store(home) == KEPT == ids_in_run(home)
    assert {"default", "lab"} <= set(expired(home)) and "shop" not in expired(home)
    assert not (home / "forget.pending").exists()


def test_a_run_at_work_is_waited_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home(home).exclusive("run"):
        assert watch(home) == 0
    assert "Another run is at work" in capsys.readouterr().err
    assert ids_in_store(home) == KEPT and ids_in_run(home) > KEPT
    assert watch(home) == 0
    assert ids_in_run(home) == KEPT, "though the second time nothing was left to delete in the store"


def test_a_reader_does_not_keep_what_is_over_age(home: Path) -> None:
    """A gateway holds the store open meanwhile, and one that is reading sees what was there when it began."""
    rows, other = sealed_rows(home), Home(home).open_store()
    assert watch(home) == 0
    other.append([call("late", tenant="default", timestamp=time.time() - 400 * DAY, origin="o1")])
    other.append([call("new", tenant="default", timestamp=time.time(), origin="o1")])
    assert {c.id for c in other.calls(tenant="default")} >= {"new", "late", "default-1-0"}
    other.close()
    assert watch(home) == 0
    kept = ids_in_store(home)
    assert "late" not in {c.id for c in _all(home)} and "new" in {c.id for c in _all(home)} and kept >= KEPT
    assert not any(p in bytes_of(home) for id, p in rows.items() if id.rpartition("-")[0] not in KEPT)


def _all(home: Path) -> list[Call]:
    store = Home(home).open_store()
    try:
        return list(store.calls())
    finally:
        store.close()


def test_a_bad_limit_ends_the_watch_and_deletes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "config.toml").write_text("[retention]\ndefault = -1\n")
    assert watch(home) == 3
    assert "positive number of days" in capsys.readouterr().err
    assert len(ids_in_store(home)) == 6


def test_the_loop_retains_every_hour_and_outlives_an_error() -> None:
    clock = ManualClock()
    done: list[Any] = []
    told: list[Any] = []
    wrong: list[DeputizeError] = [BadInput("a bad limit")]

    def retain() -> None:
        if wrong:
            raise wrong[0]
        done.append(clock())

    keep_to_limits = hourly(retain, tell=told.append, clock=clock)
    with pytest.raises(BadInput):
        keep_to_limits()
    wrong.clear()
    for _ in range(3):  # three looks within an hour
        keep_to_limits()
        clock.advance(600)
    assert len(done) == 1
    clock.advance(3600)
    wrong.append(StoreError("another program has held it locked"))
    keep_to_limits()
    keep_to_limits()
    assert len(done) == 1 and len(told) == 2 and "held it locked" in told[0]
    wrong.clear()
    keep_to_limits()
    assert len(done) == 2


def test_retention_deletes_what_is_over_age_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--home", str(tmp_path), "--json"]
    store = Home(tmp_path).open_store()
    now = time.time()
    store.append(
        [
            call(f"{tenant}{age}", tenant=tenant, origin="o", timestamp=now - age * DAY)
            for tenant in ("default", "shop", "lab")
            for age in (1, 40)
        ]
    )
    assert run([*args, "retention"]) == 3, "no limit is set"
    (tmp_path / "config.toml").write_text('[retention]\ndefault = 30\nshop = 365\n"*" = 7\n')
    capsys.readouterr()
    assert run([*args, "retention"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == {"default": 1, "lab": 1, "shop": 0}
    assert {c.id for c in store.calls()} == {"default1", "shop1", "shop40", "lab1"}
    store.close()
    expired = [e.tenant for e in AuditLog(tmp_path, KeyRing.open(tmp_path)).entries() if e.action == "expire"]
    assert sorted(expired) == ["default", "lab"]


@pytest.mark.parametrize("limit", ["0", "-3", '"a week"', "true"])
def test_a_limit_that_is_none_is_said(tmp_path: Path, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text(f"[retention]\ndefault = {limit}\n")
    assert run(["--home", str(tmp_path), "retention"]) == 3
    assert "positive number of days" in capsys.readouterr().err
