"""Where requests may end, and heads without a wish to change the protocol."""

from __future__ import annotations

import pytest

from deputize.http.request_bytes import (
    end_of_part,
    head_fault,
    head_without_upgrade,
    headers_of,
    n_head_bytes,
)

ONE = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "start", "n_left", "tail", "stop"),
    [
        (ONE, 0, -1, b"", len(ONE)),
        (ONE + b"a body", 0, -1, b"", len(ONE) + 6),
        (ONE + ONE, 0, -1, b"", len(ONE)),
        (ONE + ONE, len(ONE), -1, b"", 2 * len(ONE)),
        (b"\n" + ONE, 0, -1, b"\r\n\r", 1),
        (b"\r\n" + ONE, 0, -1, b"x\r\n", 2),
        (b"body" + ONE, 0, 4, b"", 4),
        (b"bo", 0, 4, b"", 2),
    ],
)
def test_at_most_one_request_ends_before_the_end_of_a_part(
    data: bytes, start: int, n_left: int, tail: bytes, stop: int
) -> None:
    assert end_of_part(data, start, n_left=n_left, tail=tail) == stop


def test_a_head_without_its_upgrade() -> None:
    headers = {"host": "h", "upgrade": "h2c", "connection": "Upgrade, close", "http2-settings": "x"}
    head = head_without_upgrade(b"GET", b"/a", headers)
    assert head == b"GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"


def test_headers_of_one_name_are_one_list() -> None:
    assert headers_of([(b"Host", b"h"), (b"X-A", b"1"), (b"x-a", b"\xe9")]) == {"host": "h", "x-a": "1, \xe9"}
    assert headers_of([]) == {}


def test_the_length_of_a_head() -> None:
    assert n_head_bytes(b"/a", [(b"host", b"h"), (b"x", b"")]) == len(b"/a") + len(b"host: h\r\nx: \r\n")


def test_blanks_behind_a_value_do_not_belong_to_it() -> None:
    raw = [(b"A", b"1 \t"), (b"B", b" x y "), (b"a", b"2 ")]
    assert headers_of(raw) == {"a": "1, 2", "b": " x y"}


@pytest.mark.parametrize(
    ("headers", "needs_host", "fault"),
    [
        ({"host": "h"}, True, ""),
        ({}, False, ""),
        ({}, True, "host"),
        ({"host": "h, i"}, True, "host"),
        ({"host": "h", "transfer-encoding": "Chunked"}, True, ""),
        ({"host": "h", "transfer-encoding": "x, chunked"}, True, "transfer-encoding"),
        ({"host": "h", "transfer-encoding": "chunked, chunked"}, True, "transfer-encoding"),
        ({"host": "h", "transfer-encoding": ""}, True, "transfer-encoding"),
    ],
)
def test_heads_that_leave_something_open(headers: dict[str, str], needs_host: bool, fault: str) -> None:
    found = head_fault(headers, needs_host=needs_host)
    assert (fault in found) if fault else not found
