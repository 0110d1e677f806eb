"""Heads of responses."""

from __future__ import annotations

from deputize.http.response_head import encode_head


def test_a_head() -> None:
    head = encode_head(404, [("x-a", "1")], keep=False, framing="content-length: 0\r\n", date_line="")
    assert head == b"HTTP/1.1 404 Not Found\r\nx-a: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def test_a_header_that_would_break_out_of_its_line_is_left_away() -> None:
    head = encode_head(799, [("x-a", "1\r\nx-b: 2"), ("x-c", "3")], keep=True, framing="", date_line="")
    assert head == b"HTTP/1.1 799 Unknown\r\nx-c: 3\r\n\r\n"
