"""Addresses and ports to listen on, checked before anything is opened for them."""

from __future__ import annotations

import ipaddress
import socket

from deputize.core.errors import UsageError


def check_address(host: str, *, has_keys: bool) -> None:
    """Checks that nobody beyond this machine can reach a gateway without API keys.

    Raises:
        UsageError: an address that others can reach, and no key exists.
    """
    if not has_keys and not is_loopback(host):
        raise UsageError(
            f"Listening on {host} is refused: no API key exists, so everybody who can reach this machine could use the"
            " LLM behind the gateway at your cost. Create a key first (deputize keys create --role ingest), or listen"
            " on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """True where only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host.strip("[]"), 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(host: str, port: int) -> None:
    """Checks that a port can be listened on.

    Raises:
        UsageError: it is in use, or the address is not this machine's.
    """
    try:
        infos = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise UsageError(f"The address {host!r} cannot be listened on: {error.strerror}.") from error
    family, kind, protocol, _, address = infos[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise UsageError(
                f"Port {port} on {host} cannot be used: {error.strerror}. Choose another one with --port."
            ) from error
