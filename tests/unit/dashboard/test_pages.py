"""The pages: what they show, to whom, and what their buttons do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.unit.cli.test_erase import House
from tests.unit.cli.test_runs import with_run
from tests.unit.dashboard.conftest import HOSTILE, NOW_S, Browser, Desk, served, shadowed
from tests.unit.web.conftest import sample_report

from deputize.core.records import Call
from deputize.dashboard.call_reader import CallReader
from deputize.home import Home
from deputize.routes_file import read_routes
from deputize.store.access.roles import Actor
from deputize.testing import ManualClock
from deputize.web.page import write_report

OPERATOR = Actor(name="op1", role="operator")
ACME = Actor(name="op2", role="operator", tenant="acme")
CURATOR = Actor(name="cu1", role="curator")
EVERY_PAGE = (
    "/",
    "/routes/r1",
    "/routes/r2",
    "/calls",
    "/calls/s0",
    "/tasks",
    "/audits",
    "/audits/s0-audit",
    "/runs",
)


def state(desk: Desk, id: str) -> str:
    return next(r.state for r in read_routes(desk.home.routes_path).routes if r.id == id)


def test_every_page_escapes_what_comes_from_calls_and_loads_only_its_own_files(desk: Desk) -> None:
    browser = desk.browser()
    for path in EVERY_PAGE:
        reply = browser.get(path)
        assert reply.status == 200
        headers, page = dict(reply.headers), bytes(reply.body).decode()  # type: ignore[arg-type]
        assert (
            HOSTILE not in page and "<style" not in page and " style=" not in page and "onclick" not in page
        )
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store" and headers["x-frame-options"] == "DENY"


def test_the_first_page_says_who_answered_what_was_saved_and_how_routes_stand(desk: Desk) -> None:
    words = desk.browser().words("/")
    assert "6 calls" in words and "3 by specialists, 3 by the LLM" in words
    # 3 x 100,000 tokens at $2.50 a million
    assert "3 of 6 calls by specialists (50 %)" in words and "$0.75" in words
    assert "task r1" in words and "challenger" in words
    assert "2 audits to judge" in words
    assert "desk / triage" in words and "episodes" in words


def test_no_text_of_a_call_is_on_a_page_but_masked_answers(desk: Desk) -> None:
    browser = desk.browser()
    for path in EVERY_PAGE:
        assert "Anna" not in browser.text(path) and "example.com" not in browser.text(path), path


def test_a_call_is_explained(desk: Desk) -> None:
    words = desk.browser().words("/calls/s0")
    assert "Answered by a specialist." in words and "0.9500" in words and "the LLM's answer differed" in words
    assert "100,000 read" in words
    assert desk.browser().get("/calls/nothing").status == 404


def test_calls_of_a_route_only(desk: Desk) -> None:
    words = desk.browser().words("/calls?site=write")
    assert "l0" in words and "specialist" not in words


def test_a_route_is_closed_promoted_and_rolled_back_with_a_reason_in_the_audit_log(desk: Desk) -> None:
    browser = desk.browser(OPERATOR)
    token = browser.token("/routes/r1")
    for action, after in (
        ("close", "closed"),
        ("next", "canary"),
        ("live", "live"),
        ("rollback", "rolled_back"),
    ):
        reply = browser.post("/routes/r1", token=token, action=action, reason=f"because of {action}")
        assert (reply.status, dict(reply.headers)["location"]) == (303, "/routes/r1")
        assert state(desk, "r1") == after
        entry = [e for e in desk.home.audit.entries() if e.action.startswith("route.")][-1]
        assert (entry.actor, entry.subject, entry.detail["reason"]) == ("op1", "r1", f"because of {action}")
    assert "It did not work" in bytes(browser.post("/routes/r1", token=token, action="close").body).decode()  # type: ignore[arg-type]
    assert browser.post("/routes/r1", token=token, action="jump", reason="x").status == 400


def test_the_challenger_is_promoted_apart_from_its_route(desk: Desk) -> None:
    browser = desk.browser()
    token = browser.token("/routes/r2")
    assert (
        browser.post("/routes/r2", token=token, version="challenger", action="next", reason="x").status == 303
    )
    file = read_routes(desk.home.routes_path)
    assert state(desk, "r2") == "canary" and [r.state for r in file.challengers] == ["canary"]


def test_a_form_needs_the_token_of_its_session_and_its_own_origin(desk: Desk) -> None:
    browser = desk.browser()
    token = browser.token("/routes/r1")
    for reply in (
        browser.post("/routes/r1", action="close", reason="x"),
        browser.post("/routes/r1", token=desk.browser().token("/routes/r1"), action="close", reason="x"),
        browser.post("/routes/r1", origin="http://evil.example", token=token, action="close", reason="x"),
        browser.post("/routes/r1", origin="null", token=token, action="close", reason="x"),
    ):
        assert reply.status == 403
    assert state(desk, "r1") == "live"


@pytest.mark.parametrize(
    ("role", "path", "right"),
    [
        ("curator", "/routes/r1", "promote routes"),
        ("auditor", "/audits/s0-audit", "write feedback"),
        ("operator", "/audits/s0-audit", "write feedback"),
    ],
)
def test_who_may_not_is_refused_and_it_is_noted(desk: Desk, role: str, path: str, right: str) -> None:
    browser = desk.browser(Actor(name="somebody", role=role))
    token = browser.form_token()
    reply = browser.post(path, token=token, action="close", reason="x", verdict="both_fine")
    assert reply.status == 403 and right in bytes(reply.body).decode()  # type: ignore[arg-type]
    entry = list(desk.home.audit.entries())[-1]
    assert (entry.action, entry.actor, entry.detail["right"]) == ("denied", "somebody", right)


def test_without_the_right_there_are_no_buttons(desk: Desk) -> None:
    assert 'value="close"' not in desk.browser(CURATOR).text("/routes/r1")
    assert desk.browser(OPERATOR).get("/audits/s0-audit").status == 403
    assert desk.browser(Actor(name="in1", role="ingest")).get("/").status == 403


def test_a_tenant_sees_and_changes_its_own_only(desk: Desk) -> None:
    browser = desk.browser(ACME)
    words = browser.words("/")
    assert "1 calls" in words and "task r3" in words and "task r1" not in words
    assert "/calls/other" in browser.text("/") and "/calls/s0" not in browser.text("/")
    assert [browser.get(p).status for p in ("/routes/r1", "/calls/s0", "/calls/other")] == [404, 404, 200]
    token = browser.token("/routes/r3")
    assert browser.post("/routes/r1", token=token, action="close", reason="x").status == 404
    assert state(desk, "r1") == "live"
    assert "/calls/other" in browser.text("/audits") and "/calls/s0" not in browser.text("/audits")


def test_a_session_begins_with_the_link_and_ends_by_time(desk: Desk) -> None:
    browser = desk.browser()
    stranger = Browser(browser.pages, browser.sessions)
    assert "Open the link" in bytes(stranger.get("/").body).decode()  # type: ignore[arg-type]
    assert stranger.open("/?token=wrong").status == 401 and "cookie" not in stranger.headers
    cookie = dict(browser.pages.answer("GET", "/?token=link", {"host": "x"}, b"").headers)["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    desk.clock.advance(9 * 3600.0)
    assert "Open the link" in bytes(browser.get("/").body).decode()  # type: ignore[arg-type]


def test_signing_out_ends_the_cookie(desk: Desk) -> None:
    browser = desk.browser()
    reply = browser.post("/sign-out", token=browser.token("/routes/r1"))
    assert "Max-Age=0" in dict(reply.headers)["set-cookie"]


def labels(desk: Desk) -> dict[str, object]:
    found: dict[str, Call] = {c.id: c for c in desk.home.store.calls()}
    return {id: (c.correction or {}).get("content") for id, c in found.items() if id.startswith("s0")}


def test_a_verdict_becomes_a_label_and_a_later_one_takes_its_place(desk: Desk) -> None:
    browser = desk.browser()
    token = browser.token("/audits/s0-audit")
    reply = browser.post("/audits/s0-audit", token=token, verdict="llm_wrong")
    assert dict(reply.headers)["location"] == "/audits/other-audit"  # the next one that waits
    assert labels(desk) == {"s0": "refund", "s0-audit": "refund"}
    assert "1 LLM was wrong" in browser.words("/audits")
    browser.post("/audits/s0-audit", token=token, verdict="specialist_wrong")
    assert labels(desk) == {"s0": "complaint", "s0-audit": "complaint"}
    browser.post("/audits/s0-audit", token=token, verdict="both_fine")
    assert labels(desk) == {"s0": "refund", "s0-audit": "complaint"}
    assert browser.post("/audits/s0-audit", token=token, verdict="nonsense").status == 400
    entries = [e for e in desk.home.audit.entries() if e.action == "feedback.label"]
    assert [e.detail["verdict"] for e in entries] == ["llm_wrong", "specialist_wrong", "both_fine"]
    # what was said is known after a restart, too
    desk.reader.read_once()
    assert desk.reader.index.verdict("s0-audit") == "both_fine" and not desk.reader.index.verdict(
        "other-audit"
    )


def test_answers_in_shadow_that_differ_are_shown_and_judged_as_audits(desk: Desk) -> None:
    desk.home.store.append([shadowed("sh", NOW_S, reply="LLM-said", shadow_reply="specialist-said")])
    desk.reader.read_once()
    browser = desk.browser()
    assert "3 audits to judge" in browser.words("/") and "the LLM's (shadow)" in browser.words("/audits")
    until_shown = time.monotonic() + 60
    while "specialist-said" not in (shown := browser.words("/audits/sh")):
        assert time.monotonic() < until_shown
    assert shown.index("specialist-said") < shown.index("LLM-said") and "Anna Miller" not in shown
    token = browser.token("/audits/sh")
    for verdict, right in (
        ("llm_wrong", "specialist-said"),
        ("both_fine", "LLM-said"),
        ("specialist_wrong", "LLM-said"),
    ):
        browser.post("/audits/sh", token=token, verdict=verdict)
        desk.reader.read_once()
        (kept,) = (c for c in desk.home.store.calls() if c.id == "sh")
        assert (kept.correction or {}).get("content") == right and desk.reader.index.verdict("sh") == verdict


def test_a_damaged_file_is_named_to_who_may_see_the_whole_home_only(desk: Desk) -> None:
    others, whole = desk.browser(ACME), desk.browser(OPERATOR)
    path = desk.home.routes_path
    path.write_bytes(path.read_bytes().replace(b'"live"', b'"shadow"'))
    shown = bytes(whole.get("/routes/r3").body).decode()  # type: ignore[arg-type]
    hidden = bytes(others.get("/routes/r3").body).decode()  # type: ignore[arg-type]
    assert "checksum" in shown and "checksum" not in hidden and "log has the details" in hidden


def test_where_the_home_lies_is_told_to_who_may_see_the_whole_home_only(desk: Desk) -> None:
    place = str(desk.home.path)
    assert place in desk.browser().text("/tasks"), "no run has a report yet"
    assert place not in desk.browser(ACME).text("/tasks")
    desk.home.routes_path.write_text("{")
    assert place in desk.browser().text("/") and place not in desk.browser(ACME).text("/")


def test_a_call_is_shown_whatever_its_id(desk: Desk) -> None:
    desk.home.store.append([served("run/7?a=%2F #1", NOW_S - 5.0)])
    desk.reader.read_once()
    page = desk.browser().text("/calls")
    assert "/calls/run%2F7%3Fa%3D%252F%20%231" in page
    assert "run/7?a=%2F #1" in desk.browser().words("/calls/run%2F7%3Fa%3D%252F%20%231")


def test_an_empty_home_has_all_its_pages(tmp_path: Path) -> None:
    with Home(tmp_path / "none") as home:
        desk = Desk(home, CallReader(home), ManualClock(NOW_S))
        browser = desk.browser()
        for path in ("/", "/calls", "/tasks", "/audits", "/runs"):
            assert browser.get(path).status == 200
        assert "deputize convert" in browser.words("/tasks")
        assert not home.path.exists()  # looking makes nothing


def test_tasks_and_runs_by_their_reports(desk: Desk) -> None:
    report = sample_report()
    with_run(desk.home.path, "0001-a", report, epsilon=0.05)
    with_run(desk.home.path, "0002-b", report, epsilon=0.1)
    browser = desk.browser()
    tasks = report["tasks"]
    words = browser.words("/tasks")
    assert all(task["name"] in words for task in tasks) and "certified" in words and "refused" in words
    certified = next(task for task in tasks if task["certificate"])
    words = browser.words(f"/tasks/{certified['id']}")
    assert certified["certificate"]["claim"] in words and "is not there" in words  # the run's calls are not
    assert browser.get("/tasks/none").status == 404
    words = browser.words("/runs?first=0001-a&second=0002-b")
    assert "epsilon 0.05 → 0.1" in words and "up to" not in words
    assert browser.get("/runs?first=0001-a&second=none").status == 404
    page = browser.get("/runs/0001-a/report")
    assert page.status == 200 and "sandbox" in dict(page.headers)["content-security-policy"]
    assert desk.browser(ACME).get("/runs/0001-a/report").status == 404
    assert "0001-a" not in desk.browser(ACME).text("/runs")


def test_examples_of_a_task_are_shown_to_who_may_read_them_and_it_is_noted(tmp_path: Path) -> None:
    house = House(tmp_path / "home")
    house.store.close()
    report = sample_report()
    with Home(house.home, clock=ManualClock(NOW_S)) as home:
        run = next(p.parent.name for p in home.runs_path.glob("*/run.json"))
        write_report(
            home.runs_path / run, {**report, "run_id": run, "tasks": [{**report["tasks"][0], "id": "t"}]}
        )
        desk = Desk(home, CallReader(home), ManualClock(NOW_S))
        curator, operator = desk.browser(CURATOR), desk.browser(OPERATOR)
        deadline = time.monotonic() + 20
        while "being read" in (words := curator.words("/tasks/t")):
            assert time.monotonic() < deadline
        assert "the blue heron of Trieste" in words
        assert "heron" not in operator.text("/tasks/t") and "read curated text" in operator.words("/tasks/t")
        looks = [e for e in home.audit.entries() if e.action == "read.curated" and e.actor == "cu1"]
        assert [e.detail["task"] for e in looks] == ["t"]


def test_what_is_not_there_and_what_is_no_page(desk: Desk) -> None:
    browser = desk.browser()
    assert [
        browser.get(p).status
        for p in ("/x", "/routes/r9", "/audits/s1-audit", "/assets/x.py", "/assets/../pages.py")
    ] == [404] * 5
    assert browser.pages.answer("DELETE", "/", browser.headers, b"").status == 405
    assert (
        browser.pages.answer(
            "POST", "/routes/r1", {**browser.headers, "content-type": "text/plain"}, b"x"
        ).status
        == 400
    )
    for name, kind in (("dashboard.css", "text/css"), ("dashboard.js", "text/javascript")):
        assert kind in dict(browser.get(f"/assets/{name}").headers)["content-type"]
