"""The client of the process behind /ui; test_gateway_ui asks it through the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.core.errors import OverLimit, RequestTooLarge
from deputize.gateway.page_process import COOKIE, MAX_BODY_BYTES, MAX_WAITING, PageProcess
from deputize.home import Home
from deputize.web.sessions import Sessions
from deputize.web.sign_in import KeySignIn


def sign_in(folder: Path) -> KeySignIn:
    home = Home(folder)
    return KeySignIn(home.api_keys, Sessions(home.keyring.derive("dashboard sessions"), home.now))


async def test_people_without_a_session_start_no_process(tmp_path: Path) -> None:
    signs_in = sign_in(tmp_path)
    pages = PageProcess(tmp_path, signs_in, is_https=False)
    statuses: list[int] = []
    forged = signs_in.sessions.begin("x")[:-1] + "g"
    for method, path, cookie in (
        ("GET", "/ui", ""),
        ("GET", "/ui/calls?x=1", f"{COOKIE}={forged}"),
        ("POST", "/ui/routes/r1", "x"),
        ("GET", "/ui/assets/dashboard.css", ""),
        ("GET", "/ui/assets/none.css", ""),
        ("DELETE", "/ui", ""),
    ):
        admitted = pages.admit(method, path, {"cookie": cookie}, statuses.append)
        assert admitted.pause_s > 0
        reply = await admitted.answer(b"")
        assert isinstance(reply.body, bytes)
    assert statuses == [200, 200, 400, 200, 404, 405] and not pages.is_running
    real = {"cookie": f"{COOKIE}={signs_in.sessions.begin('x')}"}
    assert pages.admit("GET", "/ui", real, statuses.append).pause_s == 0


async def test_the_process_begins_with_the_first_request_and_ends_when_nobody_asks(tmp_path: Path) -> None:
    pages = PageProcess(tmp_path, sign_in(tmp_path), is_https=False, idle_s=0.5)
    assert not pages.is_running
    reply = await pages.answer("GET", "/ui", {"host": "a"}, b"")
    assert reply.status == 303 and pages.is_running, "no session: to the page that asks for a key"
    async with asyncio.timeout(20):
        while pages.is_running:
            await asyncio.sleep(0.05)
    asked = [asyncio.ensure_future(pages.answer("GET", "/ui", {}, b"")) for _ in range(MAX_WAITING + 1)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in done if isinstance(one, Exception)] == [OverLimit]
    await pages.stop()
    assert not pages.is_running


def test_a_large_body_is_refused_by_its_head(tmp_path: Path) -> None:
    pages = PageProcess(tmp_path, sign_in(tmp_path), is_https=False)
    for headers in (
        {"content-length": str(MAX_BODY_BYTES + 1)},
        {"transfer-encoding": "chunked"},
        {"content-length": "x"},
    ):
        with pytest.raises(RequestTooLarge):
            pages.admit("POST", "/ui/sign-in", headers, lambda status: None)
