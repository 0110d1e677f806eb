"""URLs and request heads."""

from __future__ import annotations

import pytest

from deputize.core.errors import UpstreamError
from deputize.http.target import encode_request, target_of


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0", "☃"])
def test_a_header_cannot_break_out_of_its_line(value: str) -> None:
    with pytest.raises(UpstreamError, match="cannot be sent"):
        encode_request("POST", target_of("http://h/v1"), [("x-a", value)], 0)


@pytest.mark.parametrize("url", ["ftp://h/", "http://", "http://h/a b", "http://h:x/", "http://h/ü"])
def test_addresses_that_make_no_request_are_refused(url: str) -> None:
    with pytest.raises(UpstreamError, match="cannot be used"):
        target_of(url)


def test_a_request_head_reads_as_it_should() -> None:
    head = encode_request("POST", target_of("https://[::1]:8443/v1/x?y=1"), [("a", "b")], 3)
    assert head == b"POST /v1/x?y=1 HTTP/1.1\r\nhost: [::1]:8443\r\na: b\r\ncontent-length: 3\r\n\r\n"
