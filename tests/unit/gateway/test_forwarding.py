"""Headers that are sent on and back."""

from __future__ import annotations

from deputize.gateway.forwarding import (
    forward_answer_headers,
    forward_query,
    forward_request_headers,
    passed_headers,
)


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


def test_headers_of_limits_advice_and_the_request_s_id_are_picked_out() -> None:
    given = [
        ("retry-after", "3"),
        ("x-ratelimit-left", "1"),
        ("x-should-retry", "false"),
        ("set-cookie", "a"),
    ]
    assert passed_headers(given) == given[:3]
    assert passed_headers([("request-id", "req_1")]) == [("x-request-id", "req_1")]
    assert passed_headers([("request-id", "a"), ("x-request-id", "b")]) == [("x-request-id", "b")]


def test_with_a_key_of_the_gateway_no_caller_chooses_whose_account_pays() -> None:
    given = {
        "x-goog-api-key": "k",
        "openai-organization": "org-other",
        "openai-project": "proj_other",
        "x-goog-user-project": "other",
    }
    assert dict(forward_request_headers(given, keep_authorization=False)) == {"accept-encoding": "identity"}
    assert dict(forward_request_headers(given, keep_authorization=True)) == {
        **given,
        "accept-encoding": "identity",
    }


def test_a_key_of_the_gateway_stays_here_wherever_it_stands() -> None:
    key = "dpk_000000000000_" + "a" * 43
    given = {
        "authorization": f"Bearer {key}",
        "api-key": key,
        "cookie": f"k={key}",
        "x-any": f"a {key}",
        "x-b": "1",
    }
    for keep in (True, False):
        kept = forward_request_headers(given, keep_authorization=keep)
        assert kept == [("x-b", "1"), ("accept-encoding", "identity")]
    assert forward_query(f"?a=1&api_key={key}&b=2") == "?a=1&b=2"
    assert forward_query(f"?api_key={key}") == "" and forward_query("?a=%20y") == "?a=%20y"


def test_an_upstream_does_not_speak_for_the_origin_of_the_gateway() -> None:
    given = [
        ("Set-Cookie", "s=1"),
        ("Access-Control-Allow-Origin", "*"),
        ("Strict-Transport-Security", "max-age=1"),
        ("Clear-Site-Data", '"*"'),
        ("x-up", "1"),
    ]
    assert forward_answer_headers(given) == [("x-up", "1")]
