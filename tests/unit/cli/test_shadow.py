"""shadow: a comparison is begun with its limits, and shown as a table and a page."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.unit.cli.test_routes import route

from deputize.cli.main import run
from deputize.core.records import Decision, RouteFile, Usage
from deputize.gateway.evidence_file import read_evidence
from deputize.home import Home
from deputize.routes_file import read_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.testing import call


@pytest.fixture
def home(tmp_path: Path) -> Path:
    routes = [route("r1", state="closed"), route("r2", state="closed", certificate=None, keys=["k2"])]
    write_routes(
        tmp_path / "routes.json", RouteFile(run_id="0001", routes=routes), Home(tmp_path).routes_seal
    )
    return tmp_path


def test_a_comparison_begins_with_its_limits(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--share", "0.5", "--days", "7", "--budget-usd", "3", "--only-compare", "--reason", "a look"]
    assert run(["--home", str(home), "shadow", "start", "r1", *words]) == 0
    one = read_routes(home / "routes.json").routes[0]
    assert one.state == "shadow" and one.shadow is not None
    assert (one.shadow.share, one.shadow.budget_usd, one.shadow.only_compare) == (0.5, 3.0, True)
    assert one.shadow.until_s == pytest.approx(time.time() + 7 * 86_400, abs=60)
    assert read_evidence(home, None)[("r1", "runs/x")].since_s == pytest.approx(time.time(), abs=60)
    (entry,) = [e for e in AuditLog(home, KeyRing.open(home)).entries() if e.action == "route.shadow"]
    assert (entry.action, entry.detail["reason"]) == ("route.shadow", "a look")
    assert run(["--home", str(home), "shadow", "start", "r2"]) == 2
    assert "no certificate" in capsys.readouterr().err
    assert run(["--home", str(home), "shadow", "start", "r1", "--share", "0"]) == 2


def test_the_comparison_is_a_table_and_a_page(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "shadow", "start", "r1", "--days", "7"]) == 0
    at = time.time() + 1
    common = Decision(reason="shadow", route_id="r1", specialist="runs/x", specialist_ms=4.0)
    with Home(home) as opened:
        for i in range(40):
            decision = Decision(
                reason="shadow",
                route_id="r1",
                specialist="runs/x",
                specialist_ms=4.0,
                confidence=0.97 if i < 30 else 0.4,
                shadow_agrees=i not in (3, 35),
            )
            usage = Usage(prompt_tokens=1000, completion_tokens=10)
            opened.store.append(
                [
                    call(
                        f"c{i}",
                        "a secret",
                        decision=decision,
                        timestamp=at,
                        latency_ms=900.0,
                        usage=usage,
                        model="gpt-4o",
                    )
                ]
            )
        opened.store.append([call("old", decision=common, timestamp=1.0)])
    capsys.readouterr()
    assert run(["--home", str(home), "--json", "shadow", "show", "r1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n_compared"], told["n_served"], told["n_differed"]) == (40, 30, 1)
    assert told["llm_ms"] == [900.0, 900.0] and told["specialist_ms"][0] == 4.0
    assert 0.07 < told["saved_usd"] < told["llm_usd"] == pytest.approx(40 * 0.0026)
    assert [(b["low"], b["n"], b["n_agreed"]) for b in told["bands"]] == [(0.0, 10, 9), (0.95, 30, 29)]
    page = Path(told["page"]).read_text()
    assert "75 %" in page and "1 of 30" in page and "secret" not in page and "<script" not in page
    assert run(["--home", str(home), "shadow", "show", "r1"]) == 0
    text = capsys.readouterr().out
    assert "30 would have been served (75 %)" in text and "It becomes a canary of 1 %" in text
    assert "The comparison ends on" in text
