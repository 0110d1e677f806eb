"""HTTP replies to requests that fail or are refused, in the client's protocol."""

from __future__ import annotations

from deputize.core.errors import DeputizeError, NotAuthenticated, OverLimit, UpstreamError
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.wire.dialect import Dialect
from deputize.wire.registry import CHAT

_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def refused(dialect: Dialect, error: DeputizeError) -> HttpReply:
    """A request that was refused, or could not be answered."""
    status = error.http_status
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else error.code)
    headers = list(JSON_HEADERS)
    if isinstance(error, OverLimit):
        headers.append(("retry-after", str(max(1, round(error.retry_after_s)))))
    if isinstance(error, NotAuthenticated):
        headers.append(("www-authenticate", "Bearer"))
    return HttpReply(status, headers, dialect.error_body(status, str(error), kind, error.code))


def upstream_failed(dialect: Dialect, error: UpstreamError) -> HttpReply:
    """A model call that no upstream answered."""
    body = dialect.error_body(error.http_status, str(error), error.code, error.code)
    return HttpReply(error.http_status, list(JSON_HEADERS), body)


def internal_error(dialect: Dialect) -> HttpReply:
    """A request on which the gateway itself failed."""
    sentence = "The gateway failed on this request; it has been logged."
    return HttpReply(500, list(JSON_HEADERS), dialect.error_body(500, sentence, "internal_error", None))


def not_found(dialect: Dialect, path: str, meant: str = "") -> HttpReply:
    """A path that is not the gateway's.

    Args:
        dialect: the form of the error.
        path: as asked.
        meant: the path that was probably meant.
    """
    sentence = f"There is nothing at {path[:200]}."
    if meant:
        sentence += (
            f" Did you mean {meant}? Then the base address of your client has a part too much or too little."
        )
    return unknown(dialect, sentence)


def unknown(dialect: Dialect, sentence: str) -> HttpReply:
    """A 404 with a sentence: what a request is about is not here."""
    return HttpReply(
        404, list(JSON_HEADERS), dialect.error_body(404, sentence, "invalid_request_error", "not_found")
    )


def wrong_method(dialect: Dialect, method: str, allowed: str) -> HttpReply:
    """A path that exists, asked with another method."""
    sentence = f"{method[:16]} is not possible here; use {allowed}."
    body = dialect.error_body(405, sentence, "invalid_request_error", None)
    return HttpReply(405, [*JSON_HEADERS, ("allow", allowed)], body)


def malformed(status: int, sentence: str) -> HttpReply:
    """Bytes that are not an HTTP request."""
    body = CHAT.error_body(status, sentence, "invalid_request_error", f"http_{status}")
    headers = [*JSON_HEADERS, ("upgrade", "HTTP/1.1")] if status == 426 else list(JSON_HEADERS)
    return HttpReply(status, headers, body)
