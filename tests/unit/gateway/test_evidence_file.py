"""The evidence file: what is written is read, and a promotion by hand begins again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.gateway.stubs import live_route

from deputize.core.errors import BadInput
from deputize.gateway.evidence_file import EVIDENCE_FILE, forget_evidence, read_evidence, write_evidence
from deputize.scoring.monitor import AuditEvidence, observe
from deputize.stages.refine.route_evidence import RouteEvidence

KEY = ("r", "s")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_evidence(tmp_path) == {}
    one = RouteEvidence(
        route_id="r", specialist="s", state=observe(observe(AuditEvidence(0.05), "s"), ".", episode="e")
    )
    write_evidence(tmp_path, {KEY: one})
    assert read_evidence(tmp_path) == {KEY: one}
    forget_evidence(tmp_path, live_route(), at_s=7.0)
    assert read_evidence(tmp_path) == {KEY: RouteEvidence(route_id="r", specialist="s", since_s=7.0)}


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / EVIDENCE_FILE).write_text("{")
    with pytest.raises(BadInput, match="begin the evidence of all routes again"):
        read_evidence(tmp_path)
