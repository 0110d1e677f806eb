"""Limits of the server."""

from __future__ import annotations

import resource

from deputize.http.limits import Limits, connections_within, raise_file_limit


def test_connections_are_looked_at_often_enough_for_the_shortest_limit() -> None:
    assert Limits().sweep_s == 1.0
    assert Limits(body_timeout_s=0.2).sweep_s == 0.05
    assert Limits(head_timeout_s=0.001).sweep_s == 0.02


def test_connections_leave_files_for_everything_else() -> None:
    assert connections_within(1_000_000) == 20_000
    assert connections_within(1024) == 896 and connections_within(10) == 16


def test_the_limit_of_open_files_is_never_lowered() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_file_limit(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
