"""Groups in the order of the log, whatever they are called."""

from __future__ import annotations

from deputize.core.group_order import group_numbers, groups_in_order


def test_groups_are_in_the_order_of_their_first_calls() -> None:
    assert groups_in_order(["z", "a", "z", "m", "a"]) == ["z", "a", "m"]
    assert group_numbers(iter(["z", "a", "z", "m"])) == {"z": 0, "a": 1, "m": 2}
    assert groups_in_order([]) == [] and group_numbers([]) == {}
