"""Limits of an HTTP server."""

from __future__ import annotations

import resource
from dataclasses import dataclass

MOST_CONNECTIONS = 20_000


@dataclass(slots=True, frozen=True)
class Limits:
    """Limits on what one client may send and take."""

    max_head_bytes: int = 32 * 1024
    max_body_bytes: int = 32 * 1024 * 1024
    max_bodies_bytes: int = 512 * 1024 * 1024
    """Of all requests that are being read or answered."""
    head_timeout_s: float = 30.0
    body_timeout_s: float = 60.0
    write_timeout_s: float = 120.0
    idle_timeout_s: float = 300.0
    max_connections: int = MOST_CONNECTIONS
    max_of_one_address: int = 0
    """Connections that one address may hold; 0: as many as there may be."""

    @property
    def sweep_s(self) -> float:
        """How often connections are looked at: often enough that no limit is overrun by much."""
        least = min(self.head_timeout_s, self.body_timeout_s, self.write_timeout_s, self.idle_timeout_s)
        return min(1.0, max(0.02, least / 4))


def raise_file_limit(wanted: int) -> None:
    """Lets this process, and those that it forks, have so many files and connections open, as far as the system
    allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def connections_within(files: int, wanted: int = MOST_CONNECTIONS) -> int:
    """Connections that may be held where a process may open so many files: an accept that fails for want of one would
    fail everything else that opens a file as well."""
    return max(16, min(wanted, files - max(64, files // 8)))
