"""Limits of an HTTP server."""

from __future__ import annotations

from dataclasses import dataclass


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
    max_connections: int = 20_000

    @property
    def sweep_s(self) -> float:
        """How often connections are looked at: often enough that no limit is overrun by much."""
        least = min(self.head_timeout_s, self.body_timeout_s, self.write_timeout_s, self.idle_timeout_s)
        return min(1.0, max(0.02, least / 4))
