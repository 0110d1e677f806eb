"""Freshness of keyed files by the audit log."""

from __future__ import annotations

from pathlib import Path

from deputize.store.access.audit_log import AuditLog
from deputize.store.access.generations import Generations, generation_detail
from deputize.store.keys.keyring import KeyRing


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
