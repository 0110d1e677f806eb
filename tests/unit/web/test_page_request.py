"""Requests for pages, taken apart, and the headers of replies."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.web.page_request import MAX_BODY_BYTES, html_reply, read_page_request, redirect

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def test_path_query_form_and_cookies() -> None:
    found = read_page_request(
        "POST",
        "/ui/calls/a%2Fb?x=1&y=",
        {**FORM, "cookie": "a=1; deputize_ui=z.9"},
        b"reason=so+it+is",
        "/ui",
    )
    assert (found.path, found.query, found.form) == (
        "/calls/a/b",
        {"x": "1", "y": ""},
        {"reason": "so it is"},
    )
    assert found.written_path == "/calls/a%2Fb"
    assert (found.cookie("deputize_ui"), found.cookie("b")) == ("z.9", "")
    assert read_page_request("GET", "/ui", {}, b"", "/ui").path == "/"
    assert read_page_request("GET", "/", {"cookie": "=;;=,"}, b"").cookie("x") == ""


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"a=1"),
        ({"content-type": "application/json"}, b"{}"),
        (FORM, b"a" * (MAX_BODY_BYTES + 1)),
        (FORM, b"a=1&" * 99),
    ],
)
def test_what_is_no_form_of_ours_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadInput):
        read_page_request("POST", "/", headers, body)


def test_no_browser_keeps_or_frames_a_page() -> None:
    headers = dict(html_reply("<p>x</p>", 403).headers)
    assert (
        headers["cache-control"] == "no-store"
        and "frame-ancestors 'none'" in headers["content-security-policy"]
    )
    # with no-referrer, browsers send a form without saying where it comes from
    assert headers["referrer-policy"] == "same-origin"
    assert redirect("/x", [("a", "b")]).status == 303
