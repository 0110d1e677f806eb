"""Addresses and ports to listen on."""

from __future__ import annotations

import socket

import pytest

from deputize.core.errors import UsageError
from deputize.gateway.addresses import check_address, check_port, free_port, is_loopback


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_only_loopback_is_open_without_keys(host: str, local: bool) -> None:
    assert is_loopback(host) == local
    check_address(host, has_keys=True)
    if not local:
        with pytest.raises(UsageError, match="no API key exists"):
            check_address(host, has_keys=False)


def test_a_port_in_use_is_refused_and_a_free_one_is_not() -> None:
    check_port("127.0.0.1", free_port())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(UsageError, match="cannot be used"):
            check_port("127.0.0.1", taken.getsockname()[1])
