"""Requests of web pages to a gateway without keys: only from where they are expected."""

from __future__ import annotations

import pytest

from deputize.core.errors import AccessDenied, BadInput, UnsupportedMediaType
from deputize.gateway.web_pages import WebPages

JSON = "application/json"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8790", "localhost", "LocalHost:1", "[::1]:8790", "[::1]", "127.0.0.9", "gw.lan"],
)
def test_a_program_on_this_machine_is_let_in(host: str) -> None:
    WebPages(["gw.lan"]).check_keyless("POST", {"host": host, "content-type": f"{JSON}; charset=utf-8"})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "rebind.evil.example:8790",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.1@evil.example",
        "192.168.0.7",
        "10.0.0.1:8790",
        "0.0.0.0",
        "[::1]evil.example",
        "[fe80::1]",
        "[::1",
        "gw.lan.evil.example",
        "localhost:evil.example",
        "127.0.0.1:80@evil.example",
        "[::1]:80@evil.example",
    ],
)
def test_another_name_is_refused(host: str) -> None:
    with pytest.raises(AccessDenied):
        WebPages(["gw.lan"]).check_keyless("GET", {"host": host})


def test_behind_something_that_asks_who_comes_addresses_will_do_and_names_will_not() -> None:
    pages = WebPages(any_address=True)
    pages.check_keyless("GET", {"host": "10.0.0.1:8790"})
    pages.check_keyless("GET", {"host": "[fd00::1]:8790"})
    with pytest.raises(AccessDenied):
        pages.check_keyless("GET", {"host": "rebind.evil.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://app.example.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_site_is_refused(headers: dict[str, str], method: str) -> None:
    with pytest.raises(AccessDenied):
        WebPages((), ["https://app.example"]).check_keyless(
            method, {"host": "127.0.0.1", "content-type": JSON, **headers}
        )


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "text/plain;charset=UTF-8", "multipart/form-data", "application/jsonx"]
)
def test_a_body_that_needs_no_preflight_is_refused(media_type: str) -> None:
    headers = {"host": "localhost", **({"content-type": media_type} if media_type else {})}
    with pytest.raises(UnsupportedMediaType) as caught:
        WebPages().check_keyless("POST", headers)
    assert caught.value.http_status == 415 and isinstance(caught.value, BadInput)


def test_a_listed_origin_may_ask_and_read() -> None:
    pages = WebPages((), ["https://app.example"])
    headers = {
        "host": "localhost",
        "origin": "https://app.example",
        "sec-fetch-site": "cross-site",
        "content-type": JSON,
    }
    pages.check_keyless("POST", headers)
    assert ("access-control-allow-origin", "https://app.example") in pages.cors_headers(headers)
    asks = {**headers, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    answer = dict(pages.preflight(asks, "POST") or [])
    assert answer["access-control-allow-headers"] == "x-api-key"
    for origin in ("https://evil.example", "null", "https://app.example:444"):
        assert not pages.cors_headers({"origin": origin})
        assert pages.preflight({**asks, "origin": origin}, "POST") is None
