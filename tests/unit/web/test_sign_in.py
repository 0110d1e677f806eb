"""Who looks: by link, or by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import AccessDenied, NotAuthenticated
from deputize.home import Home
from deputize.testing import ManualClock
from deputize.web.page_request import PageRequest
from deputize.web.sessions import Sessions
from deputize.web.sign_in import KeySignIn, check_same_origin, session_cookie


def request(method: str = "POST", path: str = "/sign-in", **given: dict[str, str]) -> PageRequest:
    return PageRequest(method, path, {}, given.get("form", {}), given.get("headers", {}))


def test_a_key_is_shown_once_and_looked_up_at_every_visit(tmp_path: Path) -> None:
    keys = Home(tmp_path).api_keys
    made, agent = keys.create("operator", tenant="acme"), keys.create("ingest")
    sign_in = KeySignIn(keys, Sessions(bytes(32), ManualClock()))
    assert sign_in.begin(request("GET")) == "" and sign_in.begin(request(path="/routes/r1")) == ""
    cookie = sign_in.begin(request(form={"key": made.text}))
    assert made.text not in cookie
    assert (sign_in.actor_of(cookie).name, sign_in.actor_of(cookie).tenant) == (made.key.id, "acme")
    with pytest.raises(NotAuthenticated):
        sign_in.begin(request(form={"key": "dpk_x"}))
    with pytest.raises(AccessDenied, match="see status"):
        sign_in.begin(request(form={"key": agent.text}))
    keys.revoke(made.key.id)
    with pytest.raises(NotAuthenticated):
        sign_in.actor_of(cookie)
    with pytest.raises(NotAuthenticated):
        sign_in.actor_of("")


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"host": "a:1", "origin": "http://a:1"}, True),
        ({"host": "a:1", "origin": "https://a:1", "sec-fetch-site": "same-origin"}, True),
        # behind a proxy
        ({"host": "inner:1", "origin": "https://a.example", "sec-fetch-site": "same-origin"}, True),
        ({"host": "a:1", "origin": "http://b:1"}, False),
        ({"host": "a:1", "origin": "http://a:2"}, False),
        ({"host": "a:1", "origin": "null"}, False),
        ({"host": "a:1"}, False),
        ({}, False),
        ({"host": "a:1", "origin": "http://a:1", "sec-fetch-site": "same-site"}, False),
        ({"host": "a:1", "origin": "http://a:1", "sec-fetch-site": "cross-site"}, False),
    ],
)
def test_forms_of_other_pages_are_refused(headers: dict[str, str], is_ours: bool) -> None:
    if is_ours:
        check_same_origin(request(headers=headers))
    else:
        with pytest.raises(AccessDenied):
            check_same_origin(request(headers=headers))


def test_no_script_and_no_other_site_gets_the_cookie() -> None:
    _, value = session_cookie("c", "v", path="/ui", is_https=True)
    assert value == "c=v; Path=/ui; Max-Age=28800; HttpOnly; SameSite=Strict; Secure"
    assert (
        session_cookie("c", "", path="", is_https=False)[1]
        == "c=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
    )
