"""The process behind /ui: requests in, replies out, until its input ends."""

from __future__ import annotations

import io
import time

import msgspec
from tests.unit.dashboard.conftest import Desk

from deputize.dashboard.page_worker import main
from deputize.privacy.masking.detector_worker import read_message, write_message
from deputize.web.sessions import Sessions


def test_it_answers_each_request_and_ends_with_its_input(desk: Desk) -> None:
    key = desk.home.api_keys.create("operator")
    sessions = Sessions(desk.home.keyring.derive("dashboard sessions"), time.time)
    cookie = {"host": "a", "cookie": f"c={sessions.begin(key.key.id)}"}
    source, target = io.BytesIO(), io.BytesIO()
    write_message(source, {"home": str(desk.home.path), "base": "/ui", "cookie": "c", "is_https": True})
    write_message(source, ("GET", "/ui/calls", {"host": "a"}, b""))
    write_message(source, ("GET", "/ui/runs", cookie, b""))
    source.seek(0)
    assert main(source, target) == 0
    target.seek(0)
    replies = []
    while (message := read_message(target)) is not None:
        replies.append(msgspec.msgpack.decode(message))
    (status, given, _), (shown, _, body) = replies
    assert status == 303 and dict(given)["location"] == "/ui/sign-in"
    assert dict(given)["set-cookie"].endswith("SameSite=Strict; Secure")
    assert shown == 200 and key.key.id.encode() in body
    assert main(io.BytesIO(), io.BytesIO()) == 0
