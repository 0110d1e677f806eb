"""Requests as bytes: where one may end, and the head of one without its wish to change the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BLANK_LINE = b"\r\n\r\n"


def end_of_part(data: bytes, start: int, *, n_left: int, tail: bytes) -> int:
    """Where to stop parsing, so that at most one request ends before it.

    Args:
        data: bytes of a client.
        start: where in them to begin.
        n_left: bytes of a body that are still to come; -1 in a head, or where only an empty line ends a body.
        tail: the last bytes before `data`, up to three, of a head or body that has not ended.
    """
    if n_left >= 0:
        return min(len(data), start + n_left)
    if tail:  # its empty line may come in two pieces
        at = (tail + data[start : start + 3]).find(BLANK_LINE)
        if at >= 0:
            return start + at + 4 - len(tail)
    at = data.find(BLANK_LINE, start)
    if at < 0 or data.find(BLANK_LINE, at + 4) < 0:
        return len(data)  # one head at most, and some of its body
    return at + 4


def head_without_upgrade(method: bytes, url: bytes, headers: Mapping[str, str]) -> bytes:
    """The head of a request that asked for another protocol, as if it had not.

    Args:
        headers: lower-case names.
    """
    close = "close" in headers.get("connection", "").lower()
    kept = {k: v for k, v in headers.items() if k not in ("upgrade", "connection", "http2-settings")}
    lines = "".join(f"{k}: {v}\r\n" for k, v in kept.items()) + ("connection: close\r\n" if close else "")
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, url, lines.encode("latin-1"))


def headers_of(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers of a head by their lower-case names, without blanks behind their values; the values of one name as
    one list."""
    headers = {name.decode("latin-1").lower(): value.rstrip(b" \t").decode("latin-1") for name, value in raw}
    if len(headers) == len(raw):
        return headers
    headers = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.rstrip(b" \t").decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def head_fault(headers: Mapping[str, str], *, needs_host: bool) -> str:
    """Why a head that the parser has taken leaves open whom it is for or where its body ends; "" where it does not."""
    host = headers.get("host")
    if "," in host if host is not None else needs_host:
        return "The request must name its host once."
    # another server might end the body where one of several codings ends
    if "transfer-encoding" in headers and headers["transfer-encoding"].lower() != "chunked":
        return "The only transfer-encoding that is taken is chunked, once."
    return ""


def n_head_bytes(url: bytes, raw: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes of a head with this address and these headers."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in raw)
