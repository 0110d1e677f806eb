"""Methods by name."""

from __future__ import annotations

import pytest

from deputize.core.errors import UsageError
from deputize.stages.finetune.methods.registry import OURS, find_method, find_methods


def test_ours_are_in_order_of_cost() -> None:
    assert [m.name for m in OURS] == ["linear", "frozen", "encoder", "lora", "dora", "qlora", "full"]
    assert [m.cost for m in OURS] == sorted({m.cost for m in OURS})
    assert [m.tunes_base_model for m in OURS] == [False, False, False, True, True, True, True]
    assert find_methods(["full", "lora", "full", "linear"]) == [
        find_method(n) for n in ("linear", "lora", "full")
    ]


def test_an_unknown_one_is_named_with_those_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"'lorra'\. Known: linear, frozen, encoder, lora, dora, qlora, full"
    ):
        find_methods(["linear", "lorra"])
