"""The runner of a Ray cluster without a cluster: what is said where ray, or the cluster, is not there."""

from __future__ import annotations

import sys

import pytest
from tests.shard_functions import squares

from deputize.core.errors import MissingExtra
from deputize.runner.ray_cluster import RayRunner, ShardActor


def test_a_missing_ray_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"deputize\[ray\]"):
        RayRunner()


def test_an_actor_makes_its_function_with_its_first_shard() -> None:
    actor = ShardActor(squares)
    assert [actor.do(3), actor.do(4)] == [9, 16]
