"""Freshness of keyed files by the audit log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deputize.core.errors import Tampered
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import read_routes, update_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.generations import Generations, generation_detail
from deputize.store.keys.keyring import KeyRing


def test_a_version_that_is_noted_is_read_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, reader = Home(tmp_path, environ={}), Home(tmp_path)
    write_routes(home.routes_path, RouteFile(run_id="first"), home.routes_seal)
    read, note = [], home.routes_seal.note

    def noted(generation: int, sha256: str, data: bytes) -> None:
        read.append(read_routes(home.routes_path, reader.routes_seal).run_id)
        note(generation, sha256, data)
        read.append(read_routes(home.routes_path, reader.routes_seal).run_id)

    monkeypatch.setattr(home.routes_seal, "note", noted)
    update_routes(home.routes_path, lambda file: RouteFile(run_id="second"), home.routes_seal)
    assert read == ["first", "second"]
    assert not [e for e in home.audit.entries() if e.action == "denied"]


def test_a_writer_that_is_killed_leaves_routes_that_can_be_read_and_changed(tmp_path: Path) -> None:
    """Killed after its version was noted: the file in its place is older than the log knows."""
    with Home(tmp_path, environ={}) as home:
        write_routes(home.routes_path, RouteFile(run_id="first"), home.routes_seal)
    program = f"""
import os
from pathlib import Path
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import update_routes
home = Home(Path({str(tmp_path)!r}))
note = home.routes_seal.note
def noted(*arguments):
    note(*arguments)
    os.kill(os.getpid(), 9)
home.routes_seal.note = noted
update_routes(home.routes_path, lambda file: RouteFile(run_id="second"), home.routes_seal)
"""
    first = (tmp_path / "routes.json").read_bytes()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert (tmp_path / "routes.json").read_bytes() == first
    with Home(tmp_path, environ={}) as home:
        assert (home.routes().run_id, home.routes().generation) == ("second", 2)
        update_routes(home.routes_path, lambda file: RouteFile(run_id="third"), home.routes_seal)
        assert (home.routes().run_id, home.routes().generation) == ("third", 3)
        assert not [e for e in home.audit.entries() if e.action == "denied"]
        (tmp_path / "routes.json.coming").write_bytes(first)
        (tmp_path / "routes.json").write_bytes(first)
        with pytest.raises(Tampered, match="older copy"):
            home.routes()


def test_the_newest_generation_is_known(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, KeyRing.open(tmp_path, environ={}))
    running = Generations(log)
    assert running.known("a.json") == 0
    for generation in (1, 2, 3):
        log.append("change", detail=generation_detail("a.json", generation))
        log.append("change", detail=generation_detail("b.json", 10 * generation))
        for number in range(300):
            log.append("read.raw", subject=f"a.json {number}")
        assert running.known("a.json") == Generations(log).known("a.json") == generation
    assert running.known("b.json") == 30 and running.known("c.json") == 0


def test_a_forged_entry_says_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, KeyRing.open(tmp_path, environ={}))
    log.append("change", detail=generation_detail("a.json", 5))
    path = tmp_path / "audit.log"
    line = path.read_bytes()
    path.write_bytes(line + line.replace(b'"generation":"5"', b'"generation":"1"'))
    assert Generations(log).known("a.json") == 5
    other = AuditLog(tmp_path / "other", KeyRing.open(tmp_path / "other", environ={}))
    other.append("change", detail=generation_detail("a.json", 99))
    path.write_bytes(line + (tmp_path / "other" / "audit.log").read_bytes())
    assert Generations(log).known("a.json") == 5


def test_an_older_or_forged_route_file_is_refused_named_and_an_entry(tmp_path: Path) -> None:
    home = Home(tmp_path, environ={})
    path, seal = home.routes_path, home.routes_seal
    assert read_routes(path, seal) == RouteFile(run_id=""), "no file: no route, and no keys are made"
    assert not (tmp_path / "keys").exists()
    write_routes(path, RouteFile(run_id="first"), seal)
    first = path.read_bytes()
    update_routes(path, lambda file: RouteFile(run_id="second"), seal)
    second = path.read_bytes()
    assert read_routes(path, seal).run_id == "second"
    write_routes(path, RouteFile(run_id="forged"))
    forged = path.read_bytes()
    for data, why in ((first, "older copy"), (forged, "another program")):
        path.write_bytes(data)
        with pytest.raises(Tampered, match=why):
            read_routes(path, seal)
        with pytest.raises(Tampered, match=why):
            update_routes(path, lambda file: file, seal)
        assert path.read_bytes() == data, "nothing is built on it"
    path.write_bytes(second)
    assert read_routes(path, seal).run_id == "second"
    denied = [e.detail["why"] for e in home.audit.entries() if e.action == "denied"]
    assert len(denied) == 2 and "generation is 1, and the audit log knows 2" in denied[0]
    assert (
        write_routes(path, RouteFile(run_id="again"), seal).run_id
        == read_routes(path, seal).run_id
        == "again"
    )
    assert home.audit.verify().ok


def test_a_file_that_no_log_knows_is_refused(tmp_path: Path) -> None:
    """In a home that never had routes, whoever may write its files cannot bring one in."""
    home = Home(tmp_path, environ={})
    write_routes(home.routes_path, RouteFile(run_id="forged"))
    with pytest.raises(Tampered, match="another program"):
        read_routes(home.routes_path, home.routes_seal)


def test_a_cut_log_makes_no_older_route_file_the_newest(tmp_path: Path) -> None:
    """Neither for a process that has seen the newer one, nor for one that begins."""
    home = Home(tmp_path, environ={})
    path, log = home.routes_path, tmp_path / "audit.log"
    write_routes(path, RouteFile(run_id="first"), home.routes_seal)
    first, log_then = path.read_bytes(), log.read_bytes()
    update_routes(path, lambda file: RouteFile(run_id="second"), home.routes_seal)
    path.write_bytes(first)
    log.write_bytes(log_then)
    for reader in (home, Home(tmp_path)):
        with pytest.raises(Tampered, match="older copy"):
            read_routes(path, reader.routes_seal)
    write_routes(path, RouteFile(run_id="third"), home.routes_seal)
    assert read_routes(path, Home(tmp_path).routes_seal).run_id == "third", "publishing again goes on"


def test_a_cut_log_makes_no_older_evidence_the_newest(tmp_path: Path) -> None:
    home = Home(tmp_path, environ={})
    home.audit.append("begin")
    log_then = (tmp_path / "audit.log").read_bytes()
    seal = home.evidence_seal
    seal.note(1)
    assert seal.newest() == 1
    seal.check(b"data", seal.mac(b"data"), 1, 1)
    (tmp_path / "audit.log").write_bytes(log_then)
    seal.check(b"data", seal.mac(b"data"), 1, 1)  # it knows better than the log
    with pytest.raises(Tampered, match="older copy"):
        seal.check(b"data", seal.mac(b"data"), 0, seal.newest())
    fresh = Home(tmp_path).evidence_seal
    with pytest.raises(Tampered, match="audit log is not whole"):
        fresh.check(b"data", fresh.mac(b"data"), 0, fresh.newest())
