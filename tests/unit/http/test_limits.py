"""Limits of the server."""

from __future__ import annotations

from deputize.http.limits import Limits


def test_connections_are_looked_at_often_enough_for_the_shortest_limit() -> None:
    assert Limits().sweep_s == 1.0
    assert Limits(body_timeout_s=0.2).sweep_s == 0.05
    assert Limits(head_timeout_s=0.001).sweep_s == 0.02
