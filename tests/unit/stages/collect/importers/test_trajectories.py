"""Trajectories of agents."""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.trajectories import BfclImporter, InspectImporter, OpenhandsImporter

CONTEXT = ImportContext("f", 1)


def test_heads_of_inspect_are_no_calls() -> None:
    rows: list[dict[str, Any]] = [
        {"eval": {}, "plan": {}},
        {"id": 1, "epoch": 1, "input": "x", "target": "y", "scores": {}},
    ]
    for row in rows:
        assert InspectImporter().sniff(row)
        found = InspectImporter().parse(row, CONTEXT)
        assert isinstance(found, Skip) and found.is_no_call


def test_actions_without_the_models_replies_are_no_calls() -> None:
    history = [{"action": "message", "content": "x"}, {"action": "run", "command": "ls", "thought": "look"}]
    found = OpenhandsImporter().parse({"history": history, "instruction": "x", "git_patch": ""}, CONTEXT)
    assert isinstance(found, Skip) and "not the model's replies" in found.reason


def test_a_log_of_bfcl_without_its_prompt_is_named() -> None:
    found = BfclImporter().parse({"inference_log": [], "result": "x"}, CONTEXT)
    assert isinstance(found, Skip) and "without the prompt" in found.reason
