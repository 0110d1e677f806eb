"""Error bodies of upstreams."""

from __future__ import annotations

import pytest

from deputize.gateway.upstream_errors import error_message, lacks_endpoint


@pytest.mark.parametrize(
    ("status", "body", "lacks"),
    [
        (404, b"404 page not found", True),
        (405, b'{"detail":"Method Not Allowed"}', True),
        (404, b'{"error":{"message":"x","code":"model_not_found"}}', False),
        (404, b'{"error":{"message":"x","param":"previous_response_id"}}', False),
        (
            404,
            b'{"error":{"message":"model \'x\' not found, try pulling it","code":null,"param":null}}',
            False,
        ),
        (
            404,
            b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}}',
            False,
        ),
        (404, b'{"object":"error","message":"The model `x` does not exist.","param":null,"code":404}', False),
        (404, b'{"error":{"message":"Invalid URL (POST /v1/responses)","param":null,"code":null}}', True),
        (404, b'{"detail":"Not Found"}', True),
        (200, b'{"error":"Unexpected endpoint or method. (POST /v1/responses)"}', True),
        (200, b'{"output":[]}', False),
        (400, b"", False),
    ],
)
def test_a_missing_path_is_told_from_a_missing_model(status: int, body: bytes, lacks: bool) -> None:
    assert lacks_endpoint(status, body) == lacks


def test_the_sentence_of_an_error() -> None:
    assert error_message(b'{"error":{"message":"No."}}') == "No."
    assert error_message(b'{"type":"error","error":{"type":"x","message":"No."}}') == "No."
    assert error_message(b'{"error":"No."}') == "No."
    assert error_message(b"<html>") == "The upstream sent an answer that cannot be read."
    assert error_message(b"[]") == "The upstream refused the request."
    # forms that nobody foresaw, and pages of servers on the way
    assert error_message(b'{"fault":{"faultstring":"Too many calls.","code":"x"}}') == "Too many calls."
    assert error_message(b"<html><style>a b</style><h1>502 Bad Gateway</h1></html>") == "502 Bad Gateway"
