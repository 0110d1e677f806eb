"""watch, as a command: one cycle, two at a time, settings that cannot be used."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.unit.test_watcher import CountedHome, home

from deputize.cli.main import run
from deputize.core.records import Route, RouteFile
from deputize.gateway.evidence_file import write_evidence
from deputize.home import Home
from deputize.routes_file import update_routes
from deputize.stages.refine.route_evidence import RouteEvidence

__all__ = ["home"]


def test_the_command(home: CountedHome, capsys: pytest.CaptureFixture[str]) -> None:
    home.audits("bad", 60, 3)
    arguments = ["--home", str(home.folder), "watch", "--once", "--min-new-calls", "1000"]
    assert run([*arguments, "--json"]) == 0
    cycles = json.loads(capsys.readouterr().out)["cycles"]
    assert len(cycles) == 1 and cycles[0]["action"] == "wait" and len(cycles[0]["rolled_back"]) == 1
    assert run(arguments) == 0
    assert "wait: 0 new calls answered by the LLM since the last run, 1,000 wanted" in capsys.readouterr().out


def test_two_watches_and_bad_settings(home: CountedHome, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--home", str(home.folder), "watch", "--once"]
    with Home(home.folder).exclusive("watch"):
        assert run(arguments) == 2
    assert "Another watch is at work" in capsys.readouterr().err
    assert run([*arguments, "--epsilon", "2"]) == 2
    assert run([*arguments, "--model", "no-such-model"]) == 3
    (home.folder / "watch.json").write_text("{")
    assert run(arguments) == 3
    assert "watch.json" in capsys.readouterr().err


def test_a_route_that_is_not_watched_is_named(home: CountedHome, capsys: pytest.CaptureFixture[str]) -> None:
    """Its audits fail, its certificate lets everything differ, or audits are off: said, never left out."""

    def small(one: Route) -> Route:
        assert one.certificate is not None
        certificate = msgspec.structs.replace(one.certificate, share_served=0.04)
        return msgspec.structs.replace(one, certificate=certificate) if one.id == "bad" else one

    update_routes(
        home.folder / "routes.json",
        lambda file: RouteFile(run_id="2", routes=[small(r) for r in file.routes]),
        Home(home.folder).routes_seal,
    )
    missed = RouteEvidence(route_id="good", specialist="runs/x", n_due=100, n_missed=6)
    seal = Home(home.folder).evidence_seal
    write_evidence(home.folder, {("good", "runs/x"): missed}, seal)
    arguments = ["--home", str(home.folder), "watch", "--once"]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "good (task good) is not watched: 6 of its last 100 due audits failed or were skipped." in said
    assert "bad (task bad) is not watched: its certificate covers so few calls" in said
    write_evidence(home.folder, {}, seal)
    (home.folder / "config.toml").write_text("[gateway]\naudit_share = 0.0\n")
    assert run(arguments) == 0
    assert "good (task good) is not watched: audit_share is 0" in capsys.readouterr().out


def test_promoting_a_rolled_back_route_begins_its_evidence_again(home: CountedHome) -> None:
    home.audits("bad", 80, 3)
    assert home.watcher().run_cycle().rolled_back
    assert run(["--home", str(home.folder), "route", "promote", "bad", "--to", "live"]) == 0
    home.calls(1)
    assert home.watcher().run_cycle().rolled_back == [] and home.states()["bad"] == "live"
