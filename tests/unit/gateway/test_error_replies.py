"""Replies to requests that fail."""

from __future__ import annotations

import json

from deputize.core.errors import AccessDenied, NotAuthenticated, OverLimit, StoreError, UpstreamTimeout
from deputize.gateway import error_replies
from deputize.http.handler import HttpReply
from deputize.wire.registry import CHAT, MESSAGES


def error(reply: HttpReply) -> dict[str, str]:
    assert isinstance(reply.body, bytes)
    found: dict[str, str] = json.loads(reply.body)["error"]
    return found


def test_kinds_and_headers() -> None:
    over = error_replies.refused(CHAT, OverLimit("Later.", 2.6))
    assert over.status == 429 and ("retry-after", "3") in over.headers
    assert error(over) == {
        "message": "Later.",
        "type": "rate_limit_error",
        "param": None,
        "code": "over_limit",
    }
    at_once = error_replies.refused(CHAT, OverLimit("Soon.", 0.2))
    assert ("retry-after", "1") in at_once.headers, "0 would say that nothing need be waited for"
    assert ("www-authenticate", "Bearer") in error_replies.refused(CHAT, NotAuthenticated("Who?")).headers
    assert error(error_replies.refused(MESSAGES, AccessDenied("No.")))["type"] == "permission_error"
    assert error(error_replies.refused(CHAT, StoreError("Full.")))["type"] == "store_error"
    assert error_replies.upstream_failed(CHAT, UpstreamTimeout("Late.")).status == 504


def test_replies_to_what_is_no_call() -> None:
    missing = error_replies.not_found(CHAT, "/x" * 500)
    assert missing.status == 404
    assert error(missing)["message"] == f"There is nothing at {'/x' * 100}.", "no more than 200 letters of it"
    hint = error(error_replies.not_found(CHAT, "/chat/completions", "/v1/chat/completions"))["message"]
    assert "Did you mean /v1/chat/completions?" in hint
    wrong = error_replies.wrong_method(CHAT, "DELETE" * 9, "POST")
    assert wrong.status == 405 and ("allow", "POST") in wrong.headers
    assert error_replies.malformed(431, "Too large.").status == 431
    assert "logged" in error(error_replies.internal_error(CHAT))["message"]
