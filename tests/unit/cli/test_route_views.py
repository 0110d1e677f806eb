"""route show and explain: what speaks for a route, and why a call was answered as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.test_routes import CERTIFICATE, route, with_versions

from deputize.cli.main import run
from deputize.core.records import ChallengerAnswer, Decision
from deputize.gateway.evidence_file import write_evidence
from deputize.home import Home
from deputize.stages.refine.route_evidence import RouteEvidence, with_audit
from deputize.testing import call


def test_show_has_the_versions_the_evidence_and_the_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_versions(tmp_path)
    evidence = RouteEvidence(route_id="r1", specialist="runs/new")
    for result in "..s" + "." * 20:
        evidence = with_audit(evidence, result, CERTIFICATE)  # type: ignore[arg-type]
    with Home(tmp_path) as home:
        write_evidence(tmp_path, {("r1", "runs/new"): evidence}, home.evidence_seal)
    assert run(["--home", str(tmp_path), "route", "close", "r1", "--reason", "a try"]) == 0
    with_versions(tmp_path)
    capsys.readouterr()
    assert run(["--home", str(tmp_path), "--json", "route", "show", "r"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [v["role"] for v in told["versions"]] == ["route", "challenger", "previous"]
    challenger = told["versions"][1]
    assert (challenger["n_compared"], challenger["n_differed"]) == (23, 1)
    assert challenger["next"]["to"] == "canary" and float(challenger["next"]["wanted"]) == pytest.approx(20)
    assert [h["action"] for h in told["history"]] == ["route.close"] and "a try" in told["history"][0][
        "detail"
    ]
    assert run(["--home", str(tmp_path), "route", "show", "r1"]) == 0
    text = capsys.readouterr().out
    assert "as said" in text and "next: canary 1 %" in text and "the version before was runs/old" in text


def test_explain_says_why_without_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_versions(tmp_path)
    decision = Decision(
        served_by="slm",
        reason="live",
        route_id="r1",
        specialist="runs/x",
        confidence=0.97,
        certificate_id="c1",
    )
    said = ChallengerAnswer(specialist="runs/new", confidence=0.8, agrees=True)
    audit = Decision(reason="audit", route_id="r1", shadow_agrees=False, audit_of="a", challenger=said)
    with Home(tmp_path) as home:
        home.store.append(
            [
                call("a", "the secret", "an answer", decision=decision),
                call("a-audit", "the secret", decision=audit),
                call("call-17", "the secret"),
                call("call-18", "the secret"),
            ]
        )
    assert run(["--home", str(tmp_path), "--json", "route", "explain", "call-17"]) == 0
    whole = capsys.readouterr().out
    assert run(["--home", str(tmp_path), "--json", "route", "explain", "call-1"]) == 3
    assert "more than one call: call-17, call-18" in capsys.readouterr().err
    for beginning in ("a", "call-17"):
        assert run(["--home", str(tmp_path), "--json", "route", "explain", beginning]) == 0
    assert whole in capsys.readouterr().out
    assert run(["--home", str(tmp_path), "route", "explain", "a"]) == 0
    text = capsys.readouterr().out
    for words in (
        "Answered by a specialist",
        "0.9700; the route serves from 0.9000",
        "certificate c1",
        "audited",
        "differed",
    ):
        assert words in text, words
    assert "secret" not in text
    assert run(["--home", str(tmp_path), "route", "explain", "b"]) == 3


def test_verify_needs_a_certificate_and_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_versions(tmp_path)
    assert run(["--home", str(tmp_path), "route", "verify", "r1"]) == 3
    assert "There is no run" in capsys.readouterr().err
    assert run(["--home", str(tmp_path), "route", "verify", "r1", "--challenger"]) == 3
    assert route("x").certificate == CERTIFICATE
