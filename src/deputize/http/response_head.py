"""The head of an HTTP response, as bytes."""

from __future__ import annotations

from http import HTTPStatus

from deputize.http.headers import Headers

_REASONS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}


def encode_head(status: int, headers: Headers, *, keep: bool, framing: str, date_line: str) -> bytes:
    """Status line and headers.

    Args:
        status: HTTP status.
        headers: a header whose name or value would break out of its line is left away.
        keep: the connection may be used again.
        framing: the header line that says where the body ends, "" for none.
        date_line: the date header's line.
    """
    lines = "".join([f"{k}: {v}\r\n" for k, v in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        lines = "".join([f"{k}: {v}\r\n" for k, v in headers if not _breaks(k) and not _breaks(v)])
    first = _REASONS.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
    end = "\r\n" if keep else "connection: close\r\n\r\n"
    return f"{first}{lines}{framing}{date_line}{end}".encode("latin-1", "replace")


def _breaks(text: str) -> bool:
    return "\r" in text or "\n" in text
