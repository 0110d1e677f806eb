"""The runner of a Ray cluster without a cluster: what is said where ray, or the cluster, is not there."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from tests.shard_functions import squares

from deputize.core.errors import MissingExtra, UsageError
from deputize.runner.base import Resources
from deputize.runner.ray_cluster import RayRunner, ShardActor, room_on


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
        assert options["address"] == (address or "local"), "nobody else's cluster of this machine"
        raise Exception("The current node timed out\nduring startup.")  # as a head on a busy machine does

    slow = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "ray", slow)
    with pytest.raises(UsageError, match=r"(?i)the current node timed out during startup\. `?\w+"):
        RayRunner(address)
    assert ended


@pytest.mark.parametrize(
    ("resources", "room"),
    [
        (Resources(), 3),
        (Resources(2.0), 1),
        (Resources(4.0), 0),
        (Resources(1.0, 1.0), 2),
        (Resources(1.0, 0.0, 1024), 1),
        (Resources(0.0), 1),
    ],
)
def test_a_node_has_room_for_whole_workers(resources: Resources, room: int) -> None:
    assert room_on({"CPU": 3.0, "GPU": 2.0, "memory": 1.5 * 2**30}, resources) == room


def test_an_actor_makes_its_function_with_its_first_shard() -> None:
    actor = ShardActor(squares)
    assert [actor.do(3), actor.do(4)] == [9, 16]
