"""Headers that are sent on and back."""

from __future__ import annotations

from deputize.gateway.forwarding import forward_answer_headers, forward_request_headers, limit_headers


def test_headers_that_travel() -> None:
    given = {
        "host": "x",
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "authorization": "Bearer k",
        "content-length": "3",
        "accept-encoding": "br",
        "x-deputize-site": "s",
        "anthropic-beta": "b",
        "transfer-encoding": "chunked",
    }
    kept = dict(forward_request_headers(given, keep_authorization=True))
    assert kept == {"authorization": "Bearer k", "anthropic-beta": "b", "accept-encoding": "identity"}
    assert "authorization" not in dict(forward_request_headers(given, keep_authorization=False))
    ours = {"authorization": "Bearer dpk_abc", "x-api-key": "other"}
    assert dict(forward_request_headers(ours, keep_authorization=True)).keys() == {
        "x-api-key",
        "accept-encoding",
    }
    answer = forward_answer_headers(
        [("Content-Length", "3"), ("X-Ratelimit", "1"), ("x-deputize-route", "forged")]
    )
    assert answer == [("x-ratelimit", "1")]


def test_headers_about_limits_are_picked_out() -> None:
    given = [("retry-after", "3"), ("x-ratelimit-left", "1"), ("set-cookie", "a")]
    assert limit_headers(given) == given[:2]
