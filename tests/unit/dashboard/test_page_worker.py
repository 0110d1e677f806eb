"""The process behind /ui: requests in, replies out, until its input ends."""

from __future__ import annotations

import io

import msgspec
from tests.unit.dashboard.conftest import Desk

from deputize.dashboard.page_worker import main
from deputize.privacy.masking.detector_worker import read_message, write_message


def test_it_answers_each_request_and_ends_with_its_input(desk: Desk) -> None:
    key = desk.home.api_keys.create("operator")
    source, target = io.BytesIO(), io.BytesIO()
    write_message(source, {"home": str(desk.home.path), "is_https": True})
    write_message(source, ("GET", "/ui/calls", {"host": "a"}, b""))
    headers = {"host": "a", "origin": "https://a", "content-type": "application/x-www-form-urlencoded"}
    write_message(source, ("POST", "/ui/sign-in", headers, f"key={key.text}".encode()))
    source.seek(0)
    assert main(source, target) == 0
    target.seek(0)
    replies = []
    while (message := read_message(target)) is not None:
        replies.append(msgspec.msgpack.decode(message))
    (status, _, body), (signed_in, given, _) = replies
    assert status == 200 and b"API key" in body and b'action="/ui/sign-in"' in body
    assert signed_in == 303 and dict(given)["location"] == "/ui/"
    assert dict(given)["set-cookie"].endswith("SameSite=Strict; Secure")
    assert main(io.BytesIO(), io.BytesIO()) == 0
