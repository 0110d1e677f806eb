"""Sessions: signed, for some hours, and with a token for forms."""

from __future__ import annotations

from deputize.testing import ManualClock
from deputize.web.sessions import SESSION_S, Sessions


def test_a_cookie_says_whose_it_is_until_its_time_is_over() -> None:
    clock = ManualClock()
    sessions = Sessions(bytes(32), clock)
    cookie = sessions.begin("ab12")
    assert sessions.name_of(cookie) == "ab12" and sessions.begin("ab12") != cookie
    clock.advance(SESSION_S + 1)
    assert sessions.name_of(cookie) == ""


def test_a_changed_cookie_or_one_of_another_server_is_none() -> None:
    clock = ManualClock()
    sessions = Sessions(bytes(32), clock)
    cookie = sessions.begin("ab12")
    name, expiry, nonce, mac = cookie.split(".")
    for other in (
        f"cd34.{expiry}.{nonce}.{mac}",
        f"{name}.{int(expiry) + 1}.{nonce}.{mac}",
        cookie[:-1],
        "",
        "a.b",
    ):
        assert sessions.name_of(other) == ""
    assert Sessions(b"x" * 32, clock).name_of(cookie) == ""


def test_the_token_of_a_form_belongs_to_one_session() -> None:
    sessions = Sessions(bytes(32), ManualClock())
    one, other = sessions.begin("a"), sessions.begin("a")
    assert sessions.is_form_token(one, sessions.form_token(one))
    assert not sessions.is_form_token(one, sessions.form_token(other))
    assert not sessions.is_form_token(one, one.rpartition(".")[2])  # the MAC of a cookie is no token
    assert not sessions.is_form_token(one, "ü")
