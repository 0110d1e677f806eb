"""Methods by name."""

from __future__ import annotations

import pytest

from deputize.core.errors import UsageError
from deputize.stages.finetune.methods.registry import OURS, find_method, find_methods


def test_ours_are_in_order_of_cost() -> None:
    names = [
        "cache",
        "linear",
        "tools",
        "listed",
        "frozen",
        "encoder",
        "frozen_base",
        "lora",
        "lora_from_head",
        "token_distillation",
        "multitask",
        "listed_lora",
        "rslora",
        "minifinetuning",
        "on_policy_distillation",
        "dora",
        "dpo",
        "qlora",
        "full",
    ]
    assert [m.name for m in OURS] == names
    assert [m.cost for m in OURS] == sorted({m.cost for m in OURS})
    assert [m.tunes_base_model for m in OURS] == [False] * 7 + [True] * 12
    assert find_methods(["full", "lora", "full", "linear"]) == [
        find_method(n) for n in ("linear", "lora", "full")
    ]


def test_auto_stands_for_the_methods_that_are_worth_trying() -> None:
    chosen = find_methods(["auto"])
    assert [m.name for m in chosen] == ["linear", "listed", "frozen", "lora"]
    assert find_methods(["auto", "dora"]) == [*chosen, find_method("dora")]


def test_an_unknown_one_is_named_with_those_there_are() -> None:
    with pytest.raises(
        UsageError,
        match=r"'lorra'\. Known: auto, cache, linear, tools, listed, frozen, encoder, frozen_base, lora, ",
    ):
        find_methods(["linear", "lorra"])
