"""The runner of a Ray cluster without a cluster: what is said where ray, or the cluster, is not there."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from tests.shard_functions import squares

from deputize.core.errors import MissingExtra, UsageError
from deputize.runner.ray_cluster import RayRunner, ShardActor


def test_a_missing_ray_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"deputize\[ray\]"):
        RayRunner()


@pytest.mark.parametrize("address", ["", "ray://nowhere:10001"])
def test_a_cluster_that_does_not_start_is_one_sentence_and_leaves_nothing(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def init(**options: object) -> None:
        raise Exception("The current node timed out\nduring startup.")  # as a head on a busy machine does

    slow = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "ray", slow)
    with pytest.raises(UsageError, match=r"(?i)the current node timed out during startup\. `?\w+"):
        RayRunner(address)
    assert ended


def test_an_actor_makes_its_function_with_its_first_shard() -> None:
    actor = ShardActor(squares)
    assert [actor.do(3), actor.do(4)] == [9, 16]
