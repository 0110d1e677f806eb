"""The page for people without a session: it signs in, refuses in words, and shows nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import DeputizeError
from deputize.home import Home
from deputize.http.handler import HttpReply
from deputize.testing import ManualClock
from deputize.web.sessions import Sessions
from deputize.web.sign_in import KeySignIn
from deputize.web.sign_in_page import SignInPage, page_file

FORM = {"host": "a", "origin": "https://a", "content-type": "application/x-www-form-urlencoded"}


def page(folder: Path, refused: list[tuple[DeputizeError, str]] | None = None) -> SignInPage:
    sign_in = KeySignIn(Home(folder).api_keys, Sessions(bytes(32), ManualClock()))
    noted = refused if refused is not None else []
    return SignInPage(
        sign_in,
        base="/ui",
        cookie="c",
        is_https=True,
        on_refused=lambda error, key: noted.append((error, key)),
    )


def text(reply: HttpReply) -> str:
    assert isinstance(reply.body, bytes)
    return reply.body.decode()


def test_a_key_becomes_a_session_and_leaves_the_page(tmp_path: Path) -> None:
    key = Home(tmp_path).api_keys.create("operator")
    asked = page(tmp_path)
    assert asked.takes("/ui/calls", {}) and 'action="/ui/sign-in"' in text(
        asked.answer("GET", "/ui/calls", {}, b"")
    )
    reply = asked.answer("POST", "/ui/sign-in", FORM, f"key={key.text}".encode())
    given = dict(reply.headers)
    assert reply.status == 303 and given["location"] == "/ui/" and key.text not in given["set-cookie"]
    assert given["set-cookie"].endswith("SameSite=Strict; Secure")
    cookie = {"cookie": given["set-cookie"].partition(";")[0]}
    assert not asked.takes("/ui/calls", cookie)
    assert asked.takes("/ui/sign-in", cookie) and asked.takes("/ui/assets/dashboard.css", cookie)


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/ui/sign-in", FORM, b"key=dpk_nothing", 401),
        ("/ui/sign-in", FORM, b"", 401),
        ("/ui/routes/r1", FORM, b"action=close", 401),
        ("/ui/sign-in", {**FORM, "origin": "https://b"}, b"key=x", 403),
        ("/ui/sign-in", {**FORM, "content-type": "text/plain"}, b"key=x", 400),
    ],
)
def test_what_is_refused_is_said_and_noted(
    tmp_path: Path, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    refused: list[tuple[DeputizeError, str]] = []
    reply = page(tmp_path, refused).answer("POST", path, headers, body)
    assert (
        reply.status == status and 'role="alert"' in text(reply) and "set-cookie" not in dict(reply.headers)
    )
    assert [key for _, key in refused] == ["dpk_nothing" if b"nothing" in body else ""]


def test_an_agents_key_is_refused_and_nothing_of_a_request_is_shown(tmp_path: Path) -> None:
    key = Home(tmp_path).api_keys.create("ingest")
    reply = page(tmp_path).answer("POST", "/ui/sign-in", FORM, f"key={key.text}&x=<script>".encode())
    assert reply.status == 403 and "<script>" not in text(reply) and key.text not in text(reply)


def test_only_the_files_of_pages_are_given() -> None:
    for name in ("../page_worker.py", "dashboard.py", "x.css", "", "dashboard.css/..", "a" * 100 + ".css"):
        assert page_file(name) is None
    for name in ("dashboard.css", "dashboard.js", "icon.svg"):
        assert page_file(name) is not None
