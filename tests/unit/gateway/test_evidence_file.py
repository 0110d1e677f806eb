"""The evidence file: what is written is read, a promotion by hand begins again, forged and older copies are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.gateway.stubs import live_route

from deputize.core.errors import BadInput, Tampered
from deputize.gateway.evidence_file import EVIDENCE_FILE, forget_evidence, read_evidence, write_evidence
from deputize.home import Home
from deputize.scoring.monitor import AuditEvidence, observe
from deputize.stages.refine.route_evidence import RouteEvidence
from deputize.store.access.generations import NOTED_EVERY

KEY = ("r", "s")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_evidence(tmp_path, None) == {}
    one = RouteEvidence(
        route_id="r", specialist="s", state=observe(observe(AuditEvidence(0.05), "s"), ".", episode="e")
    )
    write_evidence(tmp_path, {KEY: one}, None)
    assert read_evidence(tmp_path, None) == {KEY: one}
    forget_evidence(tmp_path, live_route(), None, at_s=7.0)
    assert read_evidence(tmp_path, None) == {KEY: RouteEvidence(route_id="r", specialist="s", since_s=7.0)}


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / EVIDENCE_FILE).write_text("{")
    with pytest.raises(BadInput, match="begin the evidence of all routes again"):
        read_evidence(tmp_path, None)


def evidence(n_due: int) -> dict[tuple[str, str], RouteEvidence]:
    return {KEY: RouteEvidence(route_id="r", specialist="s", n_due=n_due)}


def test_a_forged_an_older_and_a_missing_file_are_refused_and_named(tmp_path: Path) -> None:
    home, path = Home(tmp_path), tmp_path / EVIDENCE_FILE
    seal = home.evidence_seal
    assert read_evidence(tmp_path, seal) == {}
    copies = []
    for n in (1, 2, 3):
        write_evidence(tmp_path, evidence(n), seal)
        copies.append(path.read_bytes())
    assert (
        read_evidence(tmp_path, seal) == read_evidence(tmp_path, Home(tmp_path).evidence_seal) == evidence(3)
    )
    write_evidence(tmp_path, evidence(900), None)
    unsigned = path.read_bytes()
    changed = copies[2].replace(b'"n_due":3', b'"n_due":9')
    for data, why in (
        (unsigned, "another program"),
        (changed, "another program"),
        (copies[1], r"an older copy: it is write 2 of at least 3"),
        (None, "is missing"),
    ):
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        for _ in range(2):
            with pytest.raises(Tampered, match=why):
                read_evidence(tmp_path, seal)
    denied = [e.detail["why"] for e in home.audit.entries() if e.action == "denied"]
    assert len(denied) == 3 and all("the evidence of audits" in why for why in denied), "once each"


def test_a_process_that_starts_refuses_a_copy_older_than_the_log_says(tmp_path: Path) -> None:
    path, copies = tmp_path / EVIDENCE_FILE, []
    seal = Home(tmp_path).evidence_seal
    for n in range(NOTED_EVERY + 1):
        assert n == 0 or read_evidence(tmp_path, seal) == evidence(n - 1)
        write_evidence(tmp_path, evidence(n), seal)
        copies.append(path.read_bytes())
    entries = [e.detail["generation"] for e in Home(tmp_path).audit.entries() if e.action == "file.write"]
    assert entries == ["1", f"{NOTED_EVERY + 1}"], "an entry for each audited call would be too dear"
    path.write_bytes(copies[NOTED_EVERY - 1])
    with pytest.raises(Tampered, match="an older copy"):
        read_evidence(tmp_path, Home(tmp_path).evidence_seal)


def test_a_write_that_ended_before_its_entry_is_not_taken_for_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = Home(tmp_path).evidence_seal

    def killed(n_writes: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(seal, "note", killed)
    with pytest.raises(KeyboardInterrupt):
        write_evidence(tmp_path, evidence(1), seal)
    assert read_evidence(tmp_path, Home(tmp_path).evidence_seal) == evidence(1)


def test_an_entry_that_was_not_written_is_made_up_for_by_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Home(tmp_path).evidence_seal
    monkeypatch.setattr(killed, "note", lambda n_writes: None)
    write_evidence(tmp_path, evidence(1), killed)
    write_evidence(tmp_path, evidence(2), Home(tmp_path).evidence_seal)
    (tmp_path / EVIDENCE_FILE).unlink()
    with pytest.raises(Tampered, match="is missing"):
        read_evidence(tmp_path, Home(tmp_path).evidence_seal)


@pytest.mark.parametrize("n_before", [0, NOTED_EVERY])
def test_a_write_while_another_process_reads_is_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_before: int
) -> None:
    writer, home = Home(tmp_path).evidence_seal, Home(tmp_path)
    for n in range(n_before):
        write_evidence(tmp_path, evidence(n), writer)
    read_bytes = Path.read_bytes

    def slow(path: Path) -> bytes:
        try:
            return read_bytes(path)
        finally:
            monkeypatch.setattr(Path, "read_bytes", read_bytes)
            write_evidence(tmp_path, evidence(900), writer)

    monkeypatch.setattr(Path, "read_bytes", slow)
    read_evidence(tmp_path, home.evidence_seal)
    assert read_evidence(tmp_path, home.evidence_seal) == evidence(900)
    assert not [e for e in home.audit.entries() if e.action == "denied"]


def test_another_homes_evidence_is_refused(tmp_path: Path) -> None:
    write_evidence(tmp_path, {}, Home(tmp_path / "other").evidence_seal)
    with pytest.raises(Tampered, match="another program"):
        read_evidence(tmp_path, Home(tmp_path).evidence_seal)
