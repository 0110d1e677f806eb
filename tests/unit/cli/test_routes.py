"""route: states and shares by hand, on the file that the gateway reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.cli.main import run
from deputize.core.errors import UsageError
from deputize.core.records import Certificate, Contract, Route, RouteFile
from deputize.gateway.evidence_file import read_evidence
from deputize.home import Home
from deputize.operations.route_changes import promoted
from deputize.routes_file import read_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing

CERTIFICATE = Certificate(
    id="c1",
    kind="not_worse_than_llm",
    epsilon=0.05,
    delta=0.05,
    n_calibration=100,
    threshold=0.9,
    share_served=0.8,
    p_value=0.01,
    claim="as said",
)


def route(id: str, **fields: Any) -> Route:
    given = {"certificate": CERTIFICATE, "state": "live", **fields}
    return Route(
        id=id,
        task_id=f"t-{id}",
        task_name=f"task {id}",
        keys=given.pop("keys", ["k"]),
        contract=Contract(kind="label", labels=["a"]),
        specialist=given.pop("specialist", "runs/x"),
        threshold=0.9,
        **given,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_routes(
        tmp_path / "routes.json",
        RouteFile(run_id="0001", routes=[route("r1"), route("r2", state="closed", certificate=None)]),
        Home(tmp_path).routes_seal,
    )
    return tmp_path


def state(home: Path, id: str) -> tuple[str, float]:
    found = next(r for r in read_routes(home / "routes.json").routes if r.id == id)
    return found.state, found.share


def test_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "--json", "route", "list"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(r["id"], r["state"]) for r in told["routes"]] == [("r1", "live"), ("r2", "closed")]
    assert told["routes"][0]["certificate"]["epsilon"] == 0.05
    assert run(["--home", str(home), "route", "list"]) == 0
    assert "task r1" in capsys.readouterr().out


def test_list_says_what_a_route_notices(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noticing = msgspec.structs.replace(CERTIFICATE, ood_power=0.62)
    routes = [route("r1"), route("r2", certificate=noticing)]
    write_routes(
        home / "routes.json", RouteFile(run_id="0001", routes=routes, generation=1), Home(home).routes_seal
    )
    assert run(["--home", str(home), "route", "list"]) == 0
    first, second = capsys.readouterr().out.strip().splitlines()[-2:]
    assert "no detector" in first and "62 %" in second


def test_list_fits_on_a_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    routes = [
        msgspec.structs.replace(
            route("route-t12345678", state="canary", share=0.05),
            task_name="copy the case data out of a letter",
        )
    ]
    file = RouteFile(run_id="0001", routes=routes, generation=1)
    write_routes(home / "routes.json", file, Home(home).routes_seal)
    assert run(["--home", str(home), "route", "list"]) == 0
    table = capsys.readouterr().out.strip().splitlines()[:3]
    assert all(len(line.rstrip()) <= 80 for line in table) and "route-t12345678" in table[2], table
    assert all(words in table[2] for words in ("canary, 5 %", "0.900", "5 %")), table


def test_close_and_promote_step_by_step(home: Path) -> None:
    generation = read_routes(home / "routes.json").generation
    assert run(["--home", str(home), "route", "close", "r1"]) == 0
    assert state(home, "r1")[0] == "closed"
    seen = []
    for _ in range(4):
        assert run(["--home", str(home), "route", "promote", "r1"]) == 0
        seen.append(state(home, "r1"))
    assert seen == [("canary", 0.01), ("canary", 0.05), ("canary", 0.25), ("live", 1.0)]
    assert run(["--home", str(home), "route", "promote", "r1"]) == 2
    assert read_routes(home / "routes.json").generation == generation + 5


def test_rollback_then_straight_to_live(home: Path) -> None:
    assert run(["--home", str(home), "route", "rollback", "r1"]) == 0
    assert state(home, "r1")[0] == "rolled_back"
    assert run(["--home", str(home), "route", "promote", "r1", "--to", "live"]) == 0
    assert state(home, "r1") == ("live", 1.0)


def test_without_a_certificate_nothing_is_promoted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(home), "route", "promote", "r2"]) == 2
    assert "no certificate" in capsys.readouterr().err
    with pytest.raises(UsageError):
        promoted(route("x", certificate=None, state="closed"), "live", (0.01,))


def test_unknown_route_and_no_routes(
    home: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(home), "route", "close", "r9"]) == 3
    assert "r1, r2" in capsys.readouterr().err
    assert run(["--home", str(tmp_path_factory.mktemp("empty")), "route", "list"]) == 3


def test_every_change_of_a_route_is_in_the_audit_log(home: Path) -> None:
    for words in (["close", "r1"], ["promote", "r1"], ["rollback", "r1"], ["promote", "r1", "--to", "live"]):
        assert run(["--home", str(home), "route", *words]) == 0
    entries = AuditLog(home, KeyRing.open(home)).entries()
    log = [(e.action, e.subject, e.detail["state"]) for e in entries if e.action.startswith("route.")]
    assert log == [
        ("route.close", "r1", "closed"),
        ("route.promote", "r1", "canary"),
        ("route.rollback", "r1", "rolled_back"),
        ("route.promote", "r1", "live"),
    ]


def test_the_list_says_what_a_certificate_rests_on_and_how_long_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"linked_by": "none", "n_people": 5, "renew_after_calls": 2000}
    old = msgspec.structs.replace(CERTIFICATE, created_s=1e9, renew_after_days=90.0, **given)
    write_routes(
        tmp_path / "routes.json",
        RouteFile(run_id="0001", routes=[route("r1", certificate=old), route("r2", keys=["k2"])]),
        Home(tmp_path).routes_seal,
    )
    assert run(["--home", str(tmp_path), "route", "list"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "100 independent calls",
        "5 people",
        "independent",
        "2001-12-08",
        "expired",
        "2,000 calls",
        "not dated",
    ):
        assert words in text, words
    assert run(["--home", str(tmp_path), "--json", "route", "list"]) == 0
    told = json.loads(capsys.readouterr().out)["routes"][0]["certificate"]
    assert (told["linked_by"], told["n_people"], told["renew_after_days"]) == ("none", 5, 90.0)


def test_an_id_may_be_shortened_and_a_reason_is_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    routes = [route("route-abc"), route("route-abd", keys=["k2"])]
    write_routes(home / "routes.json", RouteFile(run_id="0001", routes=routes), Home(home).routes_seal)
    assert run(["--home", str(home), "route", "close", "ab"]) == 3
    assert "more than one route: route-abc, route-abd" in capsys.readouterr().err
    assert run(["--home", str(home), "route", "close", "abc", "--reason", "too slow"]) == 0
    assert state(home, "route-abc")[0] == "closed" and state(home, "route-abd")[0] == "live"
    (entry,) = [e for e in AuditLog(home, KeyRing.open(home)).entries() if e.action == "route.close"]
    assert (entry.subject, entry.detail["reason"], entry.detail["before"]) == (
        "route-abc",
        "too slow",
        "live 1",
    )


def with_versions(home: Path) -> None:
    file = RouteFile(
        run_id="0002",
        routes=[route("r1")],
        challengers=[route("r1", specialist="runs/new", state="shadow")],
        previous=[route("r1", specialist="runs/old")],
    )
    write_routes(home / "routes.json", file, Home(home).routes_seal)


def test_a_challenger_is_promoted_and_rolled_back_beside_its_route(home: Path) -> None:
    with_versions(home)
    words = ["--home", str(home), "route"]
    assert run([*words, "promote", "r1", "--challenger"]) == 0
    file = read_routes(home / "routes.json")
    assert (file.challengers[0].state, file.challengers[0].share) == ("canary", 0.01)
    evidence = read_evidence(home, None)[("r1", "runs/new")]
    assert evidence.canary is not None, "the canary counts from here"
    assert run([*words, "rollback", "r1", "--challenger"]) == 0
    file = read_routes(home / "routes.json")
    assert (file.challengers[0].state, file.routes[0].state) == ("rolled_back", "live")
    assert run([*words, "promote", "r1", "--challenger", "--to", "live"]) == 0
    file = read_routes(home / "routes.json")
    assert [r.specialist for r in file.routes] == ["runs/new"] and not file.challengers
    assert [r.specialist for r in file.previous] == ["runs/x"], "the one that served is one step back"


def test_one_step_back_to_the_version_before(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_versions(home)
    words = ["--home", str(home), "route", "rollback", "r1", "--to-previous"]
    assert run(words) == 2
    assert "not there any more" in capsys.readouterr().err
    (home / "runs/old").mkdir(parents=True)
    (home / "runs/old/specialist.json").write_text("{}")
    assert run(words) == 0
    file = read_routes(home / "routes.json")
    assert [(r.specialist, r.state) for r in file.routes] == [("runs/old", "live")] and not file.previous
    assert run(words) == 2
    assert "no earlier version" in capsys.readouterr().err


def test_closing_drops_the_challenger(home: Path) -> None:
    with_versions(home)
    assert run(["--home", str(home), "route", "close", "r1"]) == 0
    assert not read_routes(home / "routes.json").challengers


@pytest.mark.parametrize("words", [[], ["ab", "--all"], ["--all", "--challenger"]])
def test_recertify_takes_one_route_or_all(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(["--home", str(home), "route", "recertify", *words]) == 2
    assert "Name one route, or --all without --challenger." in capsys.readouterr().err
